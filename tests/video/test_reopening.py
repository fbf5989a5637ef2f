"""A file reopened without probing gives the same packets and frames as the first time."""

import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest

from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.video import scanning
from embedonce.pipeline.video.container import VideoError, open_video, packets_of
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.known_stream import KnownStream, reorder_depth_of
from tests.support.field_videos import write_fields
from tests.support.videos import digest, full_decode, sample, timeline_of, write_video

KINDS = {
    "H.264": ("v.mp4", {"b_frames": 3}),
    "H.264, fragments": ("v.mp4", {"mux": {"movflags": "frag_keyframe+empty_moov"}}),
    "HEVC": ("v.mkv", {"codec": "libx265"}),
    "VP9": ("v.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    "VP8": ("v.mkv", {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}}),
}


def known_and_decoded(path, known=None) -> tuple[KnownStream, list[tuple]]:
    """(what is known of the stream, packets, frames)."""
    with open_video(path, "software", known) as (container, stream):
        found = KnownStream.of(stream)
        packets = list(packets_of(container, stream))
        told = [(p.pts, p.duration, p.is_keyframe, p.is_discard, bytes(p)) for p in packets]
        frames = [(f.pts, digest(f)) for p in (*packets, None) for f in stream.codec_context.decode(p)]
    return found, told, frames


def is_probed(path, known) -> bool:
    """Whether frames were decoded to open the file: only so is the format of its pixels known."""
    with open_video(path, "software", known) as (_, stream):
        return stream.codec_context.pix_fmt is not None


@pytest.mark.parametrize("kind", KINDS)
def test_packets_and_frames_are_those_of_the_first_opening(tmp_path, kind):
    file, settings = KINDS[kind]
    path = write_video(tmp_path / file, 24, **settings)
    known, packets, frames = known_and_decoded(path)
    assert len(frames) == 24 and is_probed(path, None) and not is_probed(path, known)
    assert known_and_decoded(path, known)[1:] == (packets, frames)


def test_frames_come_out_in_order_where_only_probing_finds_the_reorder_depth(tmp_path):
    path = write_fields(tmp_path / "v.mp4", 24, apart=True)  # no headers tell it
    known, _, frames = known_and_decoded(path)
    assert known.reorder_depth == 2 and known_and_decoded(path, known)[2] == frames
    for depth in (1, 2):
        with open_video(path, "software", dataclasses.replace(known, reorder_depth=depth)) as (_, stream):
            assert stream.codec_context.reorder_depth == depth


def test_packets_of_other_streams_are_not_read(tmp_path):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("mpeg4", rate=30), out.add_stream("mpeg4", rate=30)]
        for stream, (width, height) in zip(streams, ((32, 32), (64, 64)), strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(6):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.full((stream.height, stream.width, 3), 40 * number, np.uint8))
                frame.pts, frame.time_base = number, Fraction(1, 30)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    known, packets, _ = known_and_decoded(path)
    assert known.index == 1 and known.size == (64, 64)
    with open_video(path, "software", known) as (container, _):
        found = [packet.stream_index for packet in container.demux() if packet.size]
    assert found.count(1) == len(packets) == 6 and found.count(0) <= 1  # the very first one is read while opening


@pytest.mark.parametrize(
    "change", [{"size": (8, 8)}, {"codec": "hevc"}, {"index": 7}, {"extradata_crc32": 1}, {"time_base": Fraction(1, 7)}]
)
def test_a_changed_file_is_opened_as_an_unknown_one(tmp_path, change):
    path = write_video(tmp_path / "v.mp4", 12)
    known, packets, frames = known_and_decoded(path)
    other = dataclasses.replace(known, **change)
    assert is_probed(path, other) and known_and_decoded(path, other) == (known, packets, frames)


def test_containers_with_insufficient_headers_are_probed(tmp_path):
    for file in ("v.ts", "v.avi", "v.h264"):
        assert known_and_decoded(write_video(tmp_path / file, 12))[0] is None
    path = write_video(tmp_path / "v.mp4", 12, codec="mpeg4")  # whose header has no size
    known, packets, frames = known_and_decoded(path)
    assert is_probed(path, known) and known_and_decoded(path, known)[1:] == (packets, frames)


def test_the_scan_hands_its_findings_on(tmp_path):
    path = write_video(tmp_path / "v.mp4", 60)
    *_, scan = scan_video(ScanTask("v", path, Grid(4.0), "software"))
    assert scan.plan.stream == known_and_decoded(path)[0] and scan.plan.unpacked().stream == scan.plan.stream
    decoded = full_decode(path)
    requested = RequestedFrames(path, scan.requests.frame_index, scan.requests.pts, False, plan=scan.plan)
    found = [digest(frame) for _, frame in filter(None, requested)]
    assert found == [decoded[n][1] for n in scan.requests.frame_index] and requested.way == "skipping"


UNPROBED = {
    "H.264": ("v.mp4", {"b_frames": 3, "aspect": Fraction(4, 3), "rotation": 90}),
    "H.264, Matroska": ("v.mkv", {"aspect": Fraction(3, 4)}),
    "H.264, fragments": ("v.mp4", {"mux": {"movflags": "frag_keyframe+empty_moov"}}),
    "HEVC": ("v.mp4", {"codec": "libx265", "aspect": Fraction(4, 3)}),
    "VP9": ("v.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    "10 bits, full range": ("v.mkv", {"pix_fmt": "yuv420p10le", "color_range": 2}),
}
PROBED = {
    "MPEG-4": ("v.mp4", {"codec": "mpeg4"}),  # the header has no size
    "transport stream": ("v.ts", {}),
    "AVI": ("v.avi", {}),
}


def facts_of(found) -> dict:
    """All that a timeline says, its index included."""
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    index = facts.pop("index")
    facts |= {
        name: getattr(index, name)
        for name in ("is_key", "is_hidden", "is_start", "droppable", "fallback_reason", "stream")
    }
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in facts.items()}


def read_both_ways(path, monkeypatch) -> tuple[dict | str, dict | str, bool]:
    """(what is read of a video, the same by probing, whether the former could do without)."""
    read, outcomes = scanning._read_unprobed, []

    def noted(path):
        found = yield from read(path)
        outcomes.append(found is not None)
        return found

    def refuse(path):
        yield from ()

    found = []
    for way in (noted, refuse):
        monkeypatch.setattr(scanning, "_read_unprobed", way)
        try:
            found.append(facts_of(timeline_of(path)))
        except VideoError as error:
            found.append(str(error))
    monkeypatch.setattr(scanning, "_read_unprobed", read)
    return *found, outcomes == [True]


@pytest.mark.parametrize("kind", [*UNPROBED, *PROBED])
def test_the_scan_finds_the_same_without_probing(tmp_path, monkeypatch, kind):
    file, settings = (UNPROBED | PROBED)[kind]
    found, probed, is_unprobed = read_both_ways(write_video(tmp_path / file, 24, **settings), monkeypatch)
    assert found == probed and is_unprobed == (kind in UNPROBED)


def test_frames_that_an_edit_list_hides_are_not_decoded_to_see_the_first_one(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 60, gop=30, rotation=180)
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size]:
            packet.pts, packet.dts, packet.stream = packet.pts - 20 * 512, packet.dts - 20 * 512, stream
            out.mux(packet)
    shown, decoded = scanning._shown, []
    monkeypatch.setattr(scanning, "_shown", lambda packet: decoded.append(packet.pts) or shown(packet))
    found, probed, is_unprobed = read_both_ways(tmp_path / "cut.mp4", monkeypatch)
    assert found == probed and is_unprobed and len(found["pts"]) == 40 and decoded == [-20 * 512]
    assert sample(tmp_path / "cut.mp4", 30.0).way == "skipping"


@pytest.mark.integration
def test_real_videos_are_read_the_same_without_probing(real_videos, monkeypatch):
    num_unprobed = 0
    for path in sorted(real_videos.iterdir()):
        found, probed, is_unprobed = read_both_ways(path, monkeypatch)
        assert found == probed, path.name
        num_unprobed += is_unprobed
    assert num_unprobed >= 20


def test_the_reorder_depth_is_that_of_the_pts():
    assert reorder_depth_of(np.array([0, 1, 2])) == 0 and reorder_depth_of(np.array([])) == 0
    assert reorder_depth_of(np.array([0, 30, 10, 20])) == 1
    assert reorder_depth_of(np.array([0, 40, 20, 10, 30, 80, 60, 50, 70])) == 2
    assert reorder_depth_of(np.array([3, 2, 1, 0])) == 3
