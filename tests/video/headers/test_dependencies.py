"""Frame dependencies by the headers of each codec: frames are skipped where possible, and always exact."""

import random

import av
import numpy as np
import pytest

from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.video import decode, output_order, scanning
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.headers.b_picture_order import AnchorOrder
from embedonce.pipeline.video.headers.bits import BitReader, BitsError
from embedonce.pipeline.video.headers.hevc_parameter_sets import Sps
from embedonce.pipeline.video.headers.hevc_references import HeldPictures, LongTerm, References, read_long_terms
from embedonce.pipeline.video.headers.intra import Ffv1Inspector, MjpegInspector
from embedonce.pipeline.video.headers.mpeg4 import Mpeg4Inspector
from embedonce.pipeline.video.headers.mpeg12 import Mpeg12Inspector
from embedonce.pipeline.video.skipping import PackedPlan, plan_feed
from tests.support.videos import digest, full_decode, sample, timeline_of, write_video
from tests.video.headers.test_headers import packets_and_extradata

H264 = {"gop": 30, "b_frames": 3, "options": {"x264-params": "scenecut=0"}}
HEVC = {"codec": "libx265", "gop": 30, "b_frames": None, "options": {"x265-params": "log-level=none:scenecut=0"}}
CLOSED = {**HEVC, "options": {"x265-params": "log-level=none:scenecut=0:open-gop=0"}}
HEVC_PYRAMID = {**HEVC, "options": {"x265-params": "log-level=none:scenecut=0:bframes=7:b-adapt=0:ref=4"}}
INTERLACED = {"flags": "+ildct+ilme"}
STREAMS = {  # name -> (file, settings, how many of 90 packets three frames of the last group may need)
    "MPEG-1": ("v.mkv", {"codec": "mpeg1video", "ticks": 30}, 10),
    "MPEG-2": ("v.ts", {"codec": "mpeg2video", "ticks": 30}, 10),
    "MPEG-2 in MXF": ("v.mxf", {"codec": "mpeg2video", "ticks": 30, "gop": 15}, 10),
    "MPEG-2, interlaced": ("v.mkv", {"codec": "mpeg2video", "ticks": 30, "options": INTERLACED}, 10),
    "MPEG-4": ("v.mp4", {"codec": "mpeg4"}, 10),
    "MPEG-4, P pictures": ("v.mkv", {"codec": "mpeg4", "b_frames": 0}, 17),
    "MPEG-4, interlaced": ("v.mp4", {"codec": "mpeg4", "options": INTERLACED}, 90),
    "H.263": ("v.3gp", {"codec": "h263", "size": (96, 128), "b_frames": None}, 17),
    "Sorenson": ("v.flv", {"codec": "flv", "b_frames": None}, 17),
    "WMV 1": ("v.avi", {"codec": "wmv1", "b_frames": None}, 17),
    "WMV 2": ("v.avi", {"codec": "wmv2", "b_frames": None}, 17),
    "Microsoft's MPEG-4": ("v.avi", {"codec": "msmpeg4", "b_frames": None}, 17),
    "Motion JPEG": ("v.mov", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "b_frames": None}, 3),
    "ProRes": ("v.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "b_frames": None}, 3),
    "FFV1": ("v.mkv", {"codec": "ffv1", "gop": 1, "b_frames": None}, 3),
    "FFV1, groups": ("v.mkv", {"codec": "ffv1", "gop": 10, "b_frames": None}, 14),
    "HuffYUV": ("v.avi", {"codec": "huffyuv", "pix_fmt": "yuv422p", "b_frames": None}, 3),
    "PNG": ("v.mov", {"codec": "png", "pix_fmt": "rgb24", "b_frames": None}, 3),
    "raw": ("v.avi", {"codec": "rawvideo", "b_frames": None}, 3),
    "HEVC, pyramid": ("v.mkv", HEVC_PYRAMID, 40),
    "HEVC, layers": ("v.mp4", HEVC | {"options": {"x265-params": "log-level=none:temporal-layers=3:bframes=7"}}, 40),
    "HEVC, weighted, open GOP": (
        "v.mkv",
        HEVC | {"gop": 12, "options": {"x265-params": "log-level=none:weightb=1"}},
        40,
    ),
    "H.264, weighted, open GOP": ("v.mkv", H264 | {"gop": 12, "options": {"x264-params": "open-gop=1:weightp=2"}}, 90),
}


def requested_frames(path, times, chosen, is_planned):
    """({row: digest}, RequestedFrames) of the chosen frames; is_planned: with the plan that a scan would hand over."""
    plan = PackedPlan.of(plan_feed(times.index, times.pts[chosen])) if is_planned else None
    requested = RequestedFrames(path, np.array(chosen), times.pts[chosen], times.by_order, plan=plan)
    return {i: digest(frame) for i, frame in filter(None, requested)}, requested


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.integration
def test_random_frames_are_those_of_a_full_decode_and_no_scan_decodes_the_video(tmp_path, monkeypatch, name):
    file, settings, most = STREAMS[name]
    path = write_video(tmp_path / file, 90, **settings)

    def refuse(*_):
        raise AssertionError("the scan decodes the video")

    monkeypatch.setattr(scanning, "find_times", refuse)
    times, decoded = timeline_of(path), full_decode(path)
    assert not times.by_order and [pts for pts, _ in decoded] == times.pts.tolist() and len(decoded) == 90
    for seed in range(4):
        generator = random.Random(seed)
        chosen = sorted(generator.sample(range(90), generator.choice((1, 3, 12))))
        found, requested = requested_frames(path, times, chosen, is_planned=seed % 2 == 0)
        assert requested.way == "skipping"
        assert found == {i: decoded[n][1] for i, n in enumerate(chosen)}, chosen
    assert requested_frames(path, times, [83, 85, 88], is_planned=True)[1].num_fed <= most


def rewritten(source, target, change):
    """A copy whose packets are change(number, bytes)."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        template = old.streams.video[0]
        stream = new.add_stream_from_template(template)
        for n, packet in enumerate(p for p in old.demux(template) if p.size):
            copy = av.Packet(change(n, bytes(packet)))
            copy.pts, copy.dts, copy.duration, copy.time_base = (
                packet.pts,
                packet.dts,
                packet.duration,
                packet.time_base,
            )
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            new.mux(copy)
    return target


def unit(*content):
    return len(content).to_bytes(4, "big") + bytes(content)


@pytest.mark.parametrize(
    ("settings", "ends"),
    [
        (H264, [unit(10)]),
        (H264, [unit(11)]),
        (H264, [unit(10), unit(11)]),
        (CLOSED, [unit(36 << 1, 1)]),
        (CLOSED, [unit(36 << 1, 1), unit(37 << 1, 1)]),
    ],
)
@pytest.mark.integration
def test_the_end_of_a_sequence_before_a_entry_point_or_the_end_leaves_the_fast_path(tmp_path, settings, ends):
    source = write_video(tmp_path / "v.mp4", 90, **settings | {"rate": 30})
    starts = np.flatnonzero(timeline_of(source).index.is_start).tolist()
    assert len(starts) == 3
    before = {n - 1 for n in starts} | {89}
    path = rewritten(source, tmp_path / "w.mp4", lambda n, data: data + b"".join(ends) * (n in before))
    sampled, decoded = sample(path, 2.0), full_decode(path)
    assert sampled.way == "skipping" and sampled.num_fed < 60 and not sampled.timeline.by_order
    assert sampled.digests == {i: decoded[n][1] for i, n in enumerate(sampled.requests.frame_index)}
    assert [d for _, d in decoded] == [d for _, d in full_decode(source)]


@pytest.mark.parametrize(
    ("settings", "end", "packet"), [(H264, unit(10), 12), (CLOSED, unit(36 << 1, 1), 12), (HEVC, unit(36 << 1, 1), 25)]
)
@pytest.mark.integration
def test_a_sequence_that_goes_on_behind_its_end_is_decoded_completely(tmp_path, settings, end, packet):
    """Before a CRA picture, the last case, a decoder throws away what it has not given out."""
    source = write_video(tmp_path / "v.mp4", 40, **settings)
    path = rewritten(source, tmp_path / "w.mp4", lambda n, data: data + end * (n == packet))
    assert sample(path, 10.0).way == "whole (it continues after an end of sequence)"


@pytest.mark.integration
def test_hevc_pictures_that_no_requested_one_depends_on_are_skipped_whatever_their_type(tmp_path):
    """An encoder that calls every picture a reference: only the reference picture sets tell which are."""

    def all_references(_, data):
        changed, at = bytearray(data), 0
        while at < len(data):
            if data[at + 4] >> 1 & 63 in (0, 6, 8):  # TRAIL_N, RADL_N, RASL_N
                changed[at + 4] += 1 << 1  # TRAIL_R, RADL_R, RASL_R
            at += 4 + int.from_bytes(data[at : at + 4], "big")
        return bytes(changed)

    path = rewritten(write_video(tmp_path / "v.mp4", 90, **HEVC_PYRAMID), tmp_path / "w.mp4", all_references)
    times, decoded = timeline_of(path), full_decode(path)
    assert not times.index.droppable.any() and times.index.in_order.all()
    chosen = [20, 50, 80]
    found, requested = requested_frames(path, times, chosen, is_planned=False)
    assert found == {i: decoded[n][1] for i, n in enumerate(chosen)}
    assert requested.way == "skipping" and requested.num_fed < 40


def bits_of(code: str) -> BitReader:
    code = code.replace(" ", "")
    return BitReader(int(code.ljust(128, "0"), 2).to_bytes(16, "big"))


def test_long_term_references_of_hevc_by_hand():
    """After ITU-T H.265, section 7.4.7.1: DeltaPocMsbCycleLt adds up within the listed and within the written ones."""
    sps = Sps(False, 4, 0, (), True, ((3, True), (9, False)))
    # 2 listed of the 2 known (second: with its whole order, 1 cycle back), 2 written (0 cycles, then 1 more)
    code = "011 011  0 0  1 1 010   0101 1 1 1   0110 0 1 010"
    found = read_long_terms(bits_of(code), sps, order=37)
    assert found == (
        LongTerm(3, False, True),
        LongTerm(25, True, False),  # 9 + 37 - 5 - 16
        LongTerm(37, True, True),  # 5 + 37 - 5
        LongTerm(22, True, False),  # 6 + 37 - 5 - 16
    )
    with pytest.raises(BitsError, match="too many"):
        read_long_terms(bits_of("00000100010 1"), sps, order=0)


def test_pictures_are_held_as_long_as_reference_sets_contain_them():
    held = HeldPictures()
    for packet, order in enumerate((0, 8, 16)):
        held.add(order, packet, is_unneeded=False)
    references = References(((-4, True), (4, False)), (LongTerm(0, False, True),))
    assert held.follow(12, references, 16)[1] is False  # 0 and 16 have the same low bits
    held = HeldPictures()
    held.add(0, 0, is_unneeded=False), held.add(8, 1, is_unneeded=False), held.add(13, 2, is_unneeded=True)
    needs, is_sound = held.follow(12, references, 16)  # 16 is not there, but is for later pictures alone
    assert (sorted(needs), is_sound) == ([0, 1], True)
    assert held.follow(14, References(((-1, True),), ()), 16) == ((), False)  # no longer held
    held.add(13, 2, is_unneeded=True)
    assert held.follow(14, References(((-1, True),), ()), 16)[1] is False  # by its own word nothing refers to it


def test_old_codecs_output_b_pictures_at_once_and_others_when_the_next_one_arrives():
    order = AnchorOrder()
    numbers = [order.number("IPB".index(kind)) for kind in "IPBBPBI"]
    assert sorted(range(7), key=numbers.__getitem__) == [0, 2, 3, 1, 5, 4, 6]


@pytest.mark.parametrize("position", [0.2, 0.31, 0.37])
def test_an_mpeg_2_file_cut_in_the_middle_keeps_its_times(tmp_path, position):
    """Pictures whose references were cut off do not come out; nothing else is unusual about such a file."""
    whole = write_video(tmp_path / "whole.ts", 90, codec="mpeg2video", ticks=30)
    data, path = whole.read_bytes(), tmp_path / "cut.ts"
    path.write_bytes(data[int(len(data) * position) // 188 * 188 :])
    times, decoded = timeline_of(path), full_decode(path)
    assert times.pts.tolist() == [pts for pts, _ in decoded] and not times.by_order
    assert times.index.is_hidden.any() and 40 < len(times.pts) < 80
    sampled = sample(path, 5.0)
    assert sampled.way == "skipping"
    assert sampled.digests == {i: decoded[n][1] for i, n in enumerate(sampled.requests.frame_index)}


def test_frames_that_depend_on_earlier_tables_or_headers_are_no_entry_point(tmp_path):
    packets, _ = packets_and_extradata(
        write_video(tmp_path / "v.mov", 2, codec="mjpeg", pix_fmt="yuvj420p", b_frames=None)
    )
    looks = MjpegInspector(b"")
    assert looks.look(packets[0]).is_start
    at = packets[1].index(b"\xff\xc4")
    size = int.from_bytes(packets[1][at + 2 : at + 4], "big")
    for broken, reason in (
        (packets[1][:at] + packets[1][at + 2 + size :], "different tables"),
        (packets[1][:200], "too early"),
        (b"AVI1" + packets[1], "one JPEG"),
    ):
        with pytest.raises(BitsError, match=reason):
            looks.look(broken)
    packets, _ = packets_and_extradata(write_video(tmp_path / "v.mkv", 4, codec="ffv1", gop=4, b_frames=None))
    assert [Ffv1Inspector(b"").look(packet).is_start for packet in packets] == [True, False, False, False]


def test_pictures_behind_changed_headers_are_not_skipped(tmp_path):
    settings = {"codec": "mpeg2video", "ticks": 30, "gop": 6}
    packets, extradata = packets_and_extradata(write_video(tmp_path / "v.ts", 18, **settings))
    others, _ = packets_and_extradata(write_video(tmp_path / "w.ts", 18, **settings, size=(96, 160)))
    looks = Mpeg12Inspector(extradata)
    found = [looks.look(packet) for packet in (*packets, *others, *packets)]
    assert sum(fact.is_start for fact in found[:18]) >= 3 and any(fact.droppable for fact in found[:18])
    assert not any(fact.is_start or fact.droppable for fact in found[18:])
    packets, extradata = packets_and_extradata(
        write_video(tmp_path / "v.mp4", 12, codec="mpeg4", gop=6, options=INTERLACED)
    )
    looks = Mpeg4Inspector(extradata)
    found = [looks.look(packet) for packet in packets]
    assert [fact.is_start for fact in found].count(True) == 1 and not any(fact.droppable for fact in found)


def test_two_pictures_in_one_packet_lead_to_a_full_decode(tmp_path):
    for looks, file, codec in ((Mpeg12Inspector, "v.ts", "mpeg2video"), (Mpeg4Inspector, "v.mp4", "mpeg4")):
        packets, extradata = packets_and_extradata(write_video(tmp_path / file, 6, codec=codec, ticks=30))
        with pytest.raises(BitsError, match="not hold exactly one frame"):
            looks(extradata).look(packets[0] + packets[1])


def test_the_scans_plan_can_fall_back_to_a_full_decode(tmp_path):
    path = write_video(tmp_path / "v.mp4", 90, **H264)
    times, decoded = timeline_of(path), full_decode(path)
    chosen = list(range(0, 90, 15))
    plan = PackedPlan.of(plan_feed(times.index, times.pts[chosen]))
    assert (plan.unpacked().feed == plan_feed(times.index, times.pts[chosen]).feed).all()
    starved = PackedPlan(plan.count, bytes(len(plan.feed)), plan.run_start)
    requested = RequestedFrames(path, np.array(chosen), times.pts[chosen], False, plan=starved)
    found = {i: digest(frame) for i, frame in filter(None, requested)}
    assert requested.way == "whole (a frame did not come out)"
    assert found == {i: decoded[n][1] for i, n in enumerate(chosen)}


@pytest.mark.parametrize(("file", "codec"), [("v.avi", "libx264"), ("v.h264", "libx264"), ("v.hevc", "libx265")])
@pytest.mark.integration
def test_a_full_decode_happens_once(tmp_path, monkeypatch, file, codec):
    """Timestamps in the order of decoding, or none at all: headers tell how many frames come out in which order."""
    path = write_video(tmp_path / file, 60, codec=codec, gop=30)

    def refuse(*_):
        raise AssertionError("the scan decodes the video")

    monkeypatch.setattr(output_order, "_output_order", refuse)
    sampled, decoded = sample(path, 5.0), full_decode(path)
    assert sampled.timeline.by_order and len(sampled.timeline.pts) == 60 and sampled.num_fed <= 60
    assert sampled.digests == {i: decoded[n][1] for i, n in enumerate(sampled.requests.frame_index)}


def test_a_plan_from_the_scan_is_decoded_without_an_index(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 60, **H264)
    decoded = full_decode(path)
    *_, scan = scan_video(ScanTask("v", path, Grid(4.0), "software"))
    assert scan.plan is not None and scan.timeline.index is None

    def refuse(*_):
        raise AssertionError("the index is read again")

    monkeypatch.setattr(decode, "read_index", refuse)
    requested = RequestedFrames(path, scan.requests.frame_index, scan.requests.pts, False, plan=scan.plan)
    found = {i: digest(frame) for i, frame in filter(None, requested)}
    assert found == {i: decoded[n][1] for i, n in enumerate(scan.requests.frame_index)} and requested.way == "skipping"
    unplanned = RequestedFrames(path, scan.requests.frame_index, scan.requests.pts, False)
    with pytest.raises(AssertionError, match="read again"):
        list(unplanned)
