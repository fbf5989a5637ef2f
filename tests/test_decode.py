"""The frame at t, on made and on real videos, and the safety of opening files."""

import dataclasses

import av
import numpy as np
import pytest

from pipeline import decode, pixels
from pipeline.decode import VideoError, read_timeline, wanted_frames
from pipeline.sampling import request_frames
from pipeline.tasks import DecodeTask, ScanTask, decode_video, scan_video
from tests.videos import read_number, write_video


def decode_all(path, frame_index, pts, by_order=False) -> dict[int, np.ndarray]:
    return {i: rgb for i, rgb in wanted_frames(path, frame_index, pts, by_order) if rgb is not None}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"b_frames": 0},
        {"codec": "libx265"},
        {"codec": "mpeg4", "b_frames": 0},
        {"gop": 200, "b_frames": 3},
        {"pts": [512 * n + 90_000 for n in range(90)]},  # begins late
        {"pts": [int(n * (n + 40) * 7) for n in range(90)]},  # variable rate
    ],
)
def test_each_time_shows_the_frame_with_the_last_pts_not_after_it(tmp_path, settings):
    path = write_video(tmp_path / "v.mp4", 90, **settings)
    timeline = read_timeline(path)
    assert len(timeline.pts) == 90 and not timeline.by_order
    requests = request_frames(timeline.pts, timeline.time_base, timeline.end_sec, 7.0)
    frames = decode_all(path, requests.frame_index, requests.pts)
    assert sorted(frames) == list(range(len(requests.frame_index)))
    assert [read_number(frames[i]) for i in sorted(frames)] == requests.frame_index.tolist()


def test_timestamps_are_the_containers_own(tmp_path):
    pts = [512 * n + 90_000 for n in range(30)]
    timeline = read_timeline(write_video(tmp_path / "v.mkv", 30, pts=pts, ticks=15360))
    times = timeline.pts * timeline.time_base[0] / timeline.time_base[1]
    np.testing.assert_allclose(times, np.array(pts) / 15360, atol=6e-4)  # Matroska counts in milliseconds
    assert timeline.end_sec == pytest.approx(pts[-1] / 15360 + 1 / 30, abs=2e-3)


@pytest.mark.parametrize(("metadata", "clockwise"), [(-90, 90), (90, 270), (180, 180), (0, 0)])
def test_rotation_metadata_sets_the_frame_upright(tmp_path, metadata, clockwise):
    path = write_video(tmp_path / "v.mp4", 3, rotation=metadata)
    timeline = read_timeline(path)
    assert timeline.rotation == clockwise
    assert timeline.upright_size == ((160, 64) if clockwise in (90, 270) else (64, 160))


def test_a_truncated_video_gives_the_frames_it_has_and_says_so(tmp_path):
    path = write_video(tmp_path / "v.ts", 120, gop=12)
    data = path.read_bytes()
    (tmp_path / "cut.ts").write_bytes(data[: len(data) // 2])
    whole, cut = read_timeline(path), read_timeline(tmp_path / "cut.ts")
    assert 20 < len(cut.pts) < 100
    np.testing.assert_array_equal(cut.pts, whole.pts[: len(cut.pts)])
    frames = decode_all(tmp_path / "cut.ts", np.arange(len(cut.pts)), cut.pts)
    # the last packets may be half there: a frame is right or absent, never its neighbour
    assert len(frames) > len(cut.pts) - 15
    for i, rgb in frames.items():
        if i < len(cut.pts) - 15:
            assert read_number(rgb) == i


def test_a_mp4_shorter_than_its_header_says_is_partial(tmp_path):
    path = write_video(tmp_path / "v.mp4", 120, gop=12)
    with (
        av.open(str(path)) as source,
        av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    data = (tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.6)])
    timeline = read_timeline(tmp_path / "cut.mp4")
    assert len(timeline.pts) < 120 and any("partial" in note for note in timeline.notes)
    assert not read_timeline(path).notes


def test_a_frame_the_decoder_cannot_give_is_not_replaced(tmp_path):
    path = write_video(tmp_path / "v.mp4", 60, gop=10, b_frames=0)
    with av.open(str(path)) as container:
        packets = [(p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size]
    _, position, size = packets[30]
    data = bytearray(path.read_bytes())
    data[position : position + size] = bytes(size)  # one packet of zeros: no slice can be decoded
    path.write_bytes(data)
    timeline = read_timeline(path)
    frames = decode_all(path, np.arange(60), timeline.pts)
    assert 30 not in frames and len(frames) >= 49
    assert all(read_number(rgb) == i for i, rgb in frames.items() if i < 30 or i >= 40)


def test_a_frame_the_decoder_calls_corrupt_is_not_given(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 6)
    real = decode._frames

    class Corrupt:
        """A frame of which the decoder says that it is damaged."""

        def __init__(self, frame):
            self.pts, self.is_corrupt, self.reformat, self.color_range = (
                frame.pts,
                True,
                frame.reformat,
                frame.color_range,
            )

    monkeypatch.setattr(decode, "_frames", lambda p: (Corrupt(f) if f.pts == 3 * 512 else f for f in real(p)))
    assert sorted(decode_all(path, np.arange(6), read_timeline(path).pts)) == [0, 1, 2, 4, 5]


def test_the_range_of_colours_is_the_frames_own():
    frame = av.VideoFrame(16, 16, "yuv420p")
    for plane, value in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    for color_range, grey in ((1, 0), (2, 16)):  # 16 is black in the limited range of television, grey in the full one
        frame.color_range = color_range
        assert (decode.to_rgb(frame) == grey).all()


def test_wanted_frames_stop_after_the_last(tmp_path):
    path = write_video(tmp_path / "v.mp4", 90)
    timeline = read_timeline(path)
    decoded = list(wanted_frames(path, np.array([2]), timeline.pts[[2]], False))
    assert [read_number(rgb) for i, rgb in decoded if i is not None] == [2] and len(decoded) <= 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "cannot be read"), (b"hello, I am no video" * 100, "cannot be read"), (bytes(5000), "cannot be read")],
)
def test_what_is_no_video_is_refused_with_a_reason(tmp_path, content, reason):
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=reason):
        read_timeline(tmp_path / "v.mp4")


def test_a_playlist_named_mp4_opens_no_other_file(tmp_path):
    write_video(tmp_path / "secret.mp4", 5)
    lists = {
        "concat": f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.mp4\n#EXT-X-ENDLIST\n",
    }
    for name, text in lists.items():
        (tmp_path / f"{name}.mp4").write_text(text)
        with pytest.raises(VideoError):
            read_timeline(tmp_path / f"{name}.mp4")


def test_a_missing_or_unreadable_file_is_refused(tmp_path):
    with pytest.raises(VideoError):
        read_timeline(tmp_path / "nowhere.mp4")
    (tmp_path / "dir.mp4").mkdir()
    with pytest.raises(VideoError):
        read_timeline(tmp_path / "dir.mp4")


# -- real videos -----------------------------------------------------------------------------------------------------


def manifest(folder) -> dict[str, str]:
    lines = (folder / "MANIFEST.tsv").read_text().splitlines()[1:]
    return {line.split("\t")[0]: line.split("\t")[-1] for line in lines}


def full_decode(path) -> list:
    """(pts, rgb) of every frame, by the plainest loop there is."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for frame in container.decode(stream):
            rgb = frame.reformat(
                format="rgb24", src_color_range=frame.color_range, interpolation="BICUBIC"
            ).to_ndarray()
            frames.append((frame.pts, rgb))
    return frames


def test_every_real_video_is_decoded_exactly_or_refused(real_videos):
    refused, checked = [], 0
    for name, note in manifest(real_videos).items():
        path = real_videos / name
        try:
            timeline = read_timeline(path)
        except VideoError:
            refused.append(name)
            continue
        decoded = int(note.split("decoded=")[1].split("/")[0].split(";")[0])
        assert len(timeline.pts) == decoded, name
        requests = request_frames(timeline.pts, timeline.time_base, timeline.end_sec, 2.0)
        got = decode_all(path, requests.frame_index, requests.pts, timeline.by_order)
        assert len(got) == len(requests.pts), name
        expected = full_decode(path)
        for i, index in enumerate(requests.frame_index):
            assert timeline.by_order or expected[index][0] == requests.pts[i], name
            np.testing.assert_array_equal(got[i], expected[index][1], err_msg=name)
            checked += 1
    assert checked > 150
    assert refused == [n for n, note in manifest(real_videos).items() if "decoded=0" in note or "decoded" not in note]


def test_rotation_aspect_and_edit_lists_of_real_videos(real_videos):
    expected = {
        "decord__video_90.mov": (90, (568, 320)),
        "decord__video_180.mov": (180, (320, 568)),
        "decord__video_0.mov": (0, (320, 568)),
        "mp4parse-rust__bbb_sunflower_QCIF_30fps_mp4v_noaudio_1f.mp4": (0, (144, 176 * 16 / 11)),
    }
    for name, (rotation, size) in expected.items():
        timeline = read_timeline(real_videos / name)
        assert (timeline.rotation, timeline.upright_size) == (rotation, pytest.approx(size)), name
    dropped = read_timeline(real_videos / "clip-video-encode__vid1.mp4")
    assert dropped.pts[0] == 0 and len(dropped.pts) == 56  # the edit list hides what comes before 0


# -- rows ------------------------------------------------------------------------------------------------------------


def test_rows_hold_the_stored_bytes_and_the_crops_made_from_them(tmp_path):
    path = write_video(tmp_path / "v.mp4", 60, rotation=180)
    (scan,) = scan_video(ScanTask("v", path, 5.0, ((0.5, 1.5),)))
    requests = scan.requests
    assert requests.frame_index.tolist() == [18, 24, 30, 36, 42] and scan.num_frames == 60
    views = np.array([[0, 72, 64, 64, 0, 3], [4, 10, 40, 50, 1, 3]], np.int32)
    task = DecodeTask("v", path, requests.frame_index, requests.pts, False, 180, (64, 160), 95, views, 48)
    rows = [row for message in decode_video(task) for row in message]
    assert [row.i for row in rows] == [0, 1, 2, 3, 4]
    for row in rows:
        image = np.asarray(pixels.decode_jpeg(row.jpeg))
        assert image.shape == (64, 160, 3)
        assert read_number(image[::-1, ::-1]) == requests.frame_index[row.i]  # turned by 180 degrees
        for view, crop in zip(views, row.crops, strict=True):
            np.testing.assert_array_equal(crop, pixels.decode_crop(row.jpeg, view, 48))
    assert not dataclasses.asdict(scan.timeline)["pts"].size  # a scan does not carry every frame of a long video
