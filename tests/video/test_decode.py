"""The frame at time t in generated and real videos: the right one, bit for bit, or none."""

import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest

from embedonce.pipeline.extraction.decode_tasks import DecodeMode, DecodeTask, Row, decode_video
from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.grid import EVERYTHING, Grid
from embedonce.pipeline.sources.ego4d_miniature.frames import numbered_frame, read_number
from embedonce.pipeline.video.container import VideoError
from tests.support.videos import digest, full_decode, sample, timeline_of, write_video

MADE = {
    "plain": {},
    "without B-frames": {"b_frames": 0},
    "B-pyramid": {"gop": 200, "b_frames": 5, "options": {"x264-params": "b-pyramid=normal"}},
    "flat B-frames": {"gop": 200, "b_frames": 7, "options": {"x264-params": "b-pyramid=none:b-adapt=0"}},
    "open GOP": {"gop": 12, "options": {"x264-params": "open-gop=1:b-adapt=0"}},
    "intra refresh": {"gop": 15, "b_frames": 0, "options": {"x264-params": "intra-refresh=1"}},
    "slices": {"options": {"x264-params": "slices=4"}},
    "interlaced": {"options": {"x264-params": "tff=1"}},
    "scaling lists": {"options": {"x264-params": "cqm=jvt"}},
    "HEVC, open GOP": {"codec": "libx265"},
    "HEVC, closed GOP": {"codec": "libx265", "options": {"x265-params": "log-level=none:open-gop=0"}},
    "HEVC, layers": {"codec": "libx265", "options": {"x265-params": "log-level=none:temporal-layers=3:bframes=7"}},
    "VP8": {"codec": "libvpx", "file": "v.webm", "b_frames": None},
    "VP8, hidden frames": {
        "codec": "libvpx",
        "file": "v.webm",
        "b_frames": None,
        "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "arnr-maxframes": "7", "arnr-strength": "5"},
    },
    "VP9": {"codec": "libvpx-vp9", "file": "v.webm", "b_frames": None, "options": {"deadline": "realtime"}},
    "AV1": {"codec": "libsvtav1", "options": {"preset": "8", "crf": "1"}, "size": (128, 320), "b_frames": None},
    "MPEG-4": {"codec": "mpeg4", "b_frames": 2},
    "MPEG-2": {"codec": "mpeg2video", "file": "v.ts", "ticks": 30},
    "Motion JPEG": {"codec": "mjpeg", "file": "v.avi", "pix_fmt": "yuvj420p", "b_frames": None},
    "transport stream": {"file": "v.ts", "gop": 24},
    "Matroska": {"file": "v.mkv"},
    "AVI": {"file": "v.avi", "gop": 30},
    "AVI, MPEG-4": {"file": "v.avi", "codec": "mpeg4", "b_frames": 2},
    "ASF": {"file": "v.asf"},
    "begins late": {"pts": [512 * n + 90_000 for n in range(90)]},
    "variable rate": {"pts": [int(n * (n + 40) * 7) for n in range(90)]},
    "10-bit": {"pix_fmt": "yuv420p10le"},
    "4:4:4": {"pix_fmt": "yuv444p"},
    "odd size": {"pix_fmt": "yuv444p", "size": (65, 161)},
}


WHOLE = {"AVI": "whole (its timestamps do not match", "ASF": "whole (its timestamps do not"}


def make(folder, num_frames=90, **settings):
    return write_video(folder / settings.pop("file", "v.mp4"), num_frames, **settings)


def check_exact(path, fps, windows=EVERYTHING, numbered=True, snap_sec=None):
    """Sample and compare with a full decode and with the numbers in the pixels; returns what was sampled."""
    sampled, decoded = sample(path, fps, windows, snap_sec), full_decode(path)
    frames = sampled.requests.frame_index
    assert sorted(sampled.digests) == list(range(len(frames)))
    assert [sampled.digests[i] for i in range(len(frames))] == [decoded[index][1] for index in frames]
    if not sampled.timeline.by_order:
        assert sampled.requests.pts.tolist() == [decoded[index][0] for index in frames]
    if numbered:
        assert [read_number(sampled.rgb[i]) for i in range(len(frames))] == frames.tolist()
    return sampled


@pytest.mark.parametrize("name", MADE)
@pytest.mark.integration
def test_each_time_shows_the_last_frame_not_after_it_exactly(tmp_path, name):
    path = make(tmp_path, **MADE[name])
    timeline = timeline_of(path)
    assert len(timeline.pts) == 90
    for fps in (1.0, 7.0, 200.0, *([] if timeline.by_order else [None])):
        sampled = check_exact(path, fps)
        assert sampled.way.startswith(WHOLE.get(name, "skipping"))
        if fps is not None:
            t_sec = timeline.pts[0] * timeline.time_base[0] / timeline.time_base[1] + sampled.requests.k / fps
            half_tick = 0.5 * timeline.time_base[0] / timeline.time_base[1]
            expected = [np.flatnonzero(seconds_of(timeline) <= t + half_tick)[-1] for t in t_sec]
            assert sampled.requests.frame_index[sampled.requests.row].tolist() == expected


def seconds_of(timeline):
    return timeline.pts * timeline.time_base[0] / timeline.time_base[1]


@pytest.mark.parametrize("name", ["B-pyramid", "open GOP", "HEVC, open GOP", "VP9"])
@pytest.mark.integration
def test_windows_at_the_end_and_in_the_middle_are_as_exact(tmp_path, name):
    path = make(tmp_path, **MADE[name])
    whole = sample(path, 10.0)
    part = check_exact(path, 10.0, ((0.95, 1.35), (2.5, 2.8)))
    assert 0 < len(part.requests.pts) < len(whole.requests.pts) / 3
    assert part.num_fed < whole.num_fed
    index_of = {index: i for i, index in enumerate(whole.requests.frame_index)}
    for i, index in enumerate(part.requests.frame_index):
        assert part.digests[i] == whole.digests[index_of[index]]


def test_timestamps_are_the_containers_own(tmp_path):
    pts = [512 * n + 90_000 for n in range(30)]
    timeline = timeline_of(write_video(tmp_path / "v.mkv", 30, pts=pts, ticks=15360))
    np.testing.assert_allclose(seconds_of(timeline), np.array(pts) / 15360, atol=6e-4)  # Matroska: milliseconds
    assert timeline.end_sec == pytest.approx(pts[-1] / 15360 + 1 / 30, abs=2e-3)


def test_negative_timestamps_and_frames_hidden_by_an_edit_list(tmp_path):
    path = write_video(tmp_path / "whole.mp4", 90, gop=30, b_frames=0, options={"x264-params": "scenecut=0"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.pts, packet.dts = packet.pts - 20 * 512, packet.dts - 20 * 512
                packet.stream = stream
                out.mux(packet)
    sampled = sample(tmp_path / "cut.mp4", 30.0)
    numbers = [read_number(sampled.rgb[i]) for i in sorted(sampled.rgb)]
    assert sampled.timeline.pts[0] == 0 and numbers == list(range(20, 90))  # what lies before zero is not shown
    assert [read_number(rgb) for rgb in sample(tmp_path / "cut.mp4", None).rgb.values()] == [30, 60]


def test_a_single_frame_and_a_missing_duration(tmp_path):
    for name in ("one.mp4", "one.mkv"):
        sampled = check_exact(write_video(tmp_path / name, 1), 5.0)
        assert len(sampled.requests.pts) == 1
        assert 0 < sampled.timeline.end_sec < 0.2


def test_the_first_video_stream_with_frames_is_used_and_reported(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=30) for _ in range(2)]
        for stream, shift in zip(streams, (0, 500), strict=True):
            stream.width, stream.height = 160, 64
            for number in range(40):
                frame = av.VideoFrame.from_ndarray(numbered_frame(number + shift), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 30)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    sampled = sample(path, 4.0)
    assert [read_number(rgb) for rgb in sampled.rgb.values()] == sampled.requests.frame_index.tolist()
    assert sampled.timeline.notes == ("video stream 0 of 2 video streams is used (h264, 160x64), not 1 (h264, 160x64)",)


def test_raw_streams_without_timestamps_are_identified_by_output_order(tmp_path):
    path = write_video(tmp_path / "v.mp4", 60)
    raw = tmp_path / "v.264"
    with av.open(str(path)) as source, av.open(str(raw), "w", format="h264") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    sampled = sample(raw, 5.0)
    assert sampled.timeline.by_order and len(sampled.timeline.pts) == 60
    assert [read_number(rgb) for rgb in sampled.rgb.values()] == sampled.requests.frame_index.tolist()
    with pytest.raises(VideoError, match="key frames cannot be located; use --sampling fps"):
        list(scan_video(ScanTask("v", raw, Grid(None), "software")))


def test_timestamps_that_jump_back_lose_no_frame(tmp_path):
    """Two streams in one, the second beginning where the first did."""
    parts = [write_video(tmp_path / f"{n}.ts", 60, gop=20) for n in range(2)]
    (tmp_path / "v.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    sampled = check_exact(tmp_path / "v.ts", 30.0, numbered=False)
    assert sampled.timeline.by_order and len(sampled.digests) == 120


def test_timestamps_in_decoding_order_are_not_used_as_display_times(tmp_path):
    """As in MP4 made from AVI without encoding anew."""
    path = write_video(tmp_path / "v.mp4", 60, gop=30, b_frames=3)
    with av.open(str(path)) as source, av.open(str(tmp_path / "w.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.pts = packet.dts = number * 512
            packet.stream = stream
            out.mux(packet)
    sampled = check_exact(tmp_path / "w.mp4", 30.0)
    assert sampled.timeline.by_order and "another" not in sampled.way


# -- damage ------------------------------------------------------------------------------------------------------------


def test_a_truncated_video_gives_the_frames_it_has(tmp_path):
    path = write_video(tmp_path / "v.ts", 120, gop=12)
    data = path.read_bytes()
    (tmp_path / "cut.ts").write_bytes(data[: len(data) // 2])
    whole, cut = timeline_of(path), sample(tmp_path / "cut.ts", 30.0)
    assert 20 < len(cut.timeline.pts) < 100
    assert set(cut.timeline.pts) <= set(whole.pts)  # of the last group only what lies before the cut
    np.testing.assert_array_equal(cut.timeline.pts[:-4], whole.pts[: len(cut.timeline.pts) - 4])
    assert len(cut.rgb) > len(cut.timeline.pts) - 15
    number_at = {pts: number for number, pts in enumerate(whole.pts)}  # where the cut fell, a B-frame may be missing
    shown = {i: cut.timeline.pts[cut.requests.frame_index[i]] for i in cut.rgb}
    assert all(read_number(rgb) == number_at[shown[i]] for i, rgb in cut.rgb.items())


def test_a_mp4_shorter_than_its_header_says_is_partial(tmp_path):
    path = write_video(tmp_path / "v.mp4", 120, gop=12, mux={"movflags": "faststart"})
    data = path.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.6)])
    timeline = timeline_of(tmp_path / "cut.mp4")
    assert len(timeline.pts) < 120 and any(note.startswith("partial: it ends") for note in timeline.notes)
    assert not timeline_of(path).notes


def spoil_packet(path, n: int) -> None:
    """Put zeros in the place of the data of packet n."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    position, size = packets[n]
    data[position : position + size] = bytes(size)
    path.write_bytes(data)


def test_a_frame_that_cannot_be_decoded_is_not_replaced_nor_what_depends_on_it_trusted(tmp_path):
    path = write_video(tmp_path / "v.mp4", 60, gop=10, b_frames=0, options={"x264-params": "scenecut=0"})
    spoil_packet(path, 33)
    sampled = sample(path, 30.0)
    assert sorted(sampled.rgb) == [*range(33), *range(40, 60)]  # sound again from the next key frame on
    assert all(read_number(rgb) == i for i, rgb in sampled.rgb.items())


def test_damage_that_is_not_needed_harms_nothing_else(tmp_path):
    path = write_video(tmp_path / "v.mp4", 90, gop=30, b_frames=3, options={"x264-params": "b-pyramid=none:b-adapt=0"})
    undamaged = sample(path, 2.0)
    spoil_packet(path, 50)
    damaged = sample(path, 2.0)
    for i, found in damaged.digests.items():
        assert found == undamaged.digests[i]
    assert set(damaged.digests) >= {i for i, index in enumerate(damaged.requests.frame_index) if not 30 < index < 60}


# -- real videos -------------------------------------------------------------------------------------------------------


LARGEST_TRACK = {"torchcodec__nasa_13013.mp4": 390}  # the manifest counts the frames of the first of its two tracks


def manifest(folder) -> dict[str, str]:
    lines = (folder / "MANIFEST.tsv").read_text().splitlines()[1:]
    return {line.split("\t")[0]: line.split("\t")[-1] for line in lines}


OTHER_RATES = [pytest.param(fps, marks=pytest.mark.slow) for fps in (5.0, None)]


@pytest.mark.parametrize("fps", [1.0, *OTHER_RATES])
@pytest.mark.integration
def test_every_real_video_is_decoded_exactly_or_refused(real_videos, fps):
    refused, checked = [], 0
    for name, note in manifest(real_videos).items():
        try:
            by_order = timeline_of(real_videos / name).by_order
        except VideoError:
            refused.append(name)
            continue
        if fps is None and by_order:
            continue
        sampled = check_exact(real_videos / name, fps, numbered=False)
        decoded = int(note.split("decoded=")[1].split("/")[0].split(";")[0])
        decoded = LARGEST_TRACK.get(name, decoded)
        assert len(sampled.timeline.pts) == decoded, name
        checked += len(sampled.digests)
    assert checked > (50 if fps is None else 80)
    assert refused == [n for n, note in manifest(real_videos).items() if "decoded=0" in note or "decoded" not in note]


def test_rotation_aspect_and_edit_lists_of_real_videos(real_videos):
    expected = {
        "decord__video_90.mov": (90, (568, 320)),
        "decord__video_180.mov": (180, (320, 568)),
        "decord__video_0.mov": (0, (320, 568)),
        "mp4parse-rust__bbb_sunflower_QCIF_30fps_mp4v_noaudio_1f.mp4": (0, (144, 176 * 16 / 11)),
    }
    for name, (rotation, size) in expected.items():
        timeline = timeline_of(real_videos / name)
        assert (timeline.rotation, timeline.upright_size) == (rotation, pytest.approx(size)), name
    dropped = timeline_of(real_videos / "clip-video-encode__vid1.mp4")
    assert dropped.pts[0] == 0 and len(dropped.pts) == 56  # the edit list hides what comes before 0


# -- rows --------------------------------------------------------------------------------------------------------------


def test_rows_hold_the_stored_bytes_and_the_crops_made_from_them(tmp_path):
    path = write_video(tmp_path / "v.mp4", 60, rotation=180)
    *_, scan = scan_video(ScanTask("v", path, Grid(5.0, ((0.5, 1.5),)), "software"))
    requests = scan.requests
    assert requests.frame_index.tolist() == [18, 24, 30, 36, 42] and scan.num_frames == 60
    views = np.array([[0, 72, 64, 64, 0, 3], [4, 10, 40, 50, 1, 3]], np.int32)
    frames = (requests.frame_index, requests.pts, False, planned_shape(scan.timeline, 64), 95, views, 48)
    messages = list(decode_video(DecodeTask("v", path, "software", *frames, duration_sec=2.0)))
    assert [message.text for message in messages if isinstance(message, DecodeMode)] == ["skipping"]
    rows = [row for message in messages if isinstance(message, list) for row in message]
    assert [row.i for row in rows] == [0, 1, 2, 3, 4] and all(isinstance(row, Row) for row in rows)
    for row in rows:
        image = np.asarray(canonical_frame.decode_jpeg(row.jpeg))
        assert image.shape == (64, 160, 3)
        assert read_number(image[::-1, ::-1]) == requests.frame_index[row.i]  # rotated by 180 degrees
        for view, crop in zip(views, row.crops, strict=True):
            np.testing.assert_array_equal(crop, canonical_frame.load_view(row.jpeg, view, 48))
    assert not dataclasses.asdict(scan.timeline)["pts"].size  # a scan does not carry every frame of a long video


def test_digests_tell_frames_apart_and_see_no_padding():
    frames = [av.VideoFrame.from_ndarray(numbered_frame(n, 64, 150), format="rgb24") for n in (1, 1, 2)]
    assert digest(frames[0]) == digest(frames[1]) != digest(frames[2])
