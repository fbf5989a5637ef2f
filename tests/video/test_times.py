"""One bad timestamp costs one timestamp: repeated, missing and stray ones, with and without B-frames."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from embedonce.pipeline.sources.ego4d_miniature.frames import read_number
from embedonce.pipeline.video.headers.inspectors import INSPECTORS
from embedonce.pipeline.video.times import RawTimes, resolve_times
from tests.support.videos import full_decode, sample, timeline_of, write_video

CLOSED = {"gop": 20, "options": {"x264-params": "scenecut=0"}}


def numbers_at_times(sampled) -> dict[int, int]:
    """Request number -> number in the pixels of the frame that answers it."""
    rows = zip(sampled.requests.k.tolist(), sampled.requests.row.tolist(), strict=True)
    return {k: read_number(sampled.rgb[row]) for k, row in rows if row in sampled.rgb}


# -- arithmetic --------------------------------------------------------------------------------------------------------


def raw(pts, dts=None) -> RawTimes:
    """None where there is no timestamp."""
    columns = []
    for values in (pts, dts or [None] * len(pts)):
        columns += [np.array([v or 0 for v in values], np.int64), np.array([v is not None for v in values], bool)]
    return RawTimes(*columns)


@pytest.mark.parametrize(
    ("pts", "dts", "expected"),
    [
        ([0, 10, 20, 30], None, [0, 10, 20, 30]),
        ([0, 10, 10, 30], None, [0, 10, 10, 30]),
        ([0, 10, 10, 10, 40, 50], None, [0, 10, 10, 10, 40, 50]),
        ([0, 10, None, 30], None, [0, 10, 20, 30]),
        ([0, 10, None, None, 40], None, [0, 10, 20, 30, 40]),
        ([None, 10, 20, 30], None, [0, 10, 20, 30]),
        ([0, 10, 20, None, None], None, [0, 10, 20, 30, 40]),
        ([0, 10, None, 100, 110], [0, 10, 93, 100, 110], [0, 10, 93, 100, 110]),  # the time of decoding knows better
        ([5, 15, None, 105, 115], [0, 10, 93, 100, 110], [5, 15, 98, 105, 115]),  # which is another, but evenly so
        ([0, 10, 0, 30, 40, 50, 60, 70, 80], None, [0, 10, 20, 30, 40, 50, 60, 70, 80]),
        ([0, 10, 9999, 30, 40, 50, 60, 70, 80], None, [0, 10, 20, 30, 40, 50, 60, 70, 80]),
    ],
)
def test_bad_timestamps_are_derived_and_the_others_stay(pts, dts, expected):
    times = resolve_times(raw(pts, dts), np.arange(len(pts)))
    assert times.pts.tolist() == expected
    assert times.num_missing == pts.count(None)


@pytest.mark.parametrize("pts", [[7] * 20, [None] * 20, [5, *[None] * 19], list(range(20, 0, -1)), [*range(10)] * 2])
def test_timestamps_without_an_order_are_not_used(pts):
    assert resolve_times(raw(pts), np.arange(20)) is None


def test_of_equal_times_all_but_the_last_are_superseded():
    times = resolve_times(raw([0, 10, 10, 10, 40]), np.arange(5))
    assert times.is_superseded.tolist() == [False, True, True, False, False]
    assert times.notes == ("2 of its timestamps are repeated: of frames with equal times the last one is shown",)


# -- videos ------------------------------------------------------------------------------------------------------------


def rewritten(path, target, change):
    """Mux the packets of a video anew; change(number, packet) alters them."""
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            change(number, packet)
            packet.stream = stream
            out.mux(packet)
    return target


def zero_delta(path, target, at: int):
    """Make one difference of times of decoding zero in an MP4 (stts)."""
    data = path.read_bytes()
    place = data.find(b"stts") - 4
    size, _, _, count = struct.unpack(">I4sII", data[place : place + 16])
    runs = [struct.unpack(">II", data[place + 16 + 8 * i : place + 24 + 8 * i]) for i in range(count)]
    deltas = [delta for length, delta in runs for _ in range(length)]
    deltas[at] = 0
    new = [(at, deltas[0]), (1, 0), (len(deltas) - at - 1, deltas[0])]
    box = struct.pack(">I4sII", 16 + 8 * len(new), b"stts", 0, len(new)) + b"".join(
        struct.pack(">II", *run) for run in new
    )
    result = bytearray(data[:place] + box + data[place + size :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        start = result.find(name) - 4
        (old,) = struct.unpack(">I", result[start : start + 4])
        result[start : start + 4] = struct.pack(">I", old + len(box) - size)
    target.write_bytes(result)
    return target


def without_time(path, target, numbers: set[int], pid: int = 256):
    """Take the timestamps out of some PES packets of a transport stream."""
    data, number = bytearray(path.read_bytes()), 0
    for at in range(0, len(data), 188):
        if (data[at + 1] & 31) << 8 | data[at + 2] != pid or not data[at + 1] & 64:
            continue
        if number in numbers:
            header = at + 4 + (1 + data[at + 4] if data[at + 3] & 32 else 0)
            length = data[header + 8]
            data[header + 7] &= 0x3F
            data[header + 9 : header + 9 + length] = b"\xff" * length
        number += 1
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_repeated_timestamp_in_matroska(tmp_path, b_frames):
    """A pause stays where it is; of the two equal frames the later is shown, though it may be decoded first."""
    pts = [512 * (n if n < 30 else n + 200) for n in range(60)]
    path = write_video(tmp_path / "v.mkv", 60, b_frames=b_frames, pts=pts, **CLOSED)
    times = timeline_of(path).pts.tolist()

    def repeat(number, packet):
        packet.pts = times[9] if packet.pts == times[10] else packet.pts
        packet.dts = packet.dts if b_frames else packet.pts

    sampled = sample(rewritten(path, tmp_path / "w.mkv", repeat), 30.0)
    assert sampled.way == "skipping" and not sampled.timeline.by_order
    assert sampled.timeline.pts.tolist() == [*times[:10], times[9], *times[11:]]
    found = numbers_at_times(sampled)
    assert 9 not in found.values() and set(found.values()) == set(range(60)) - {9}
    assert found[9] == found[10] == 10 and found[29] == found[229] == 29 and found[231] == 31


def test_several_equal_timestamps_in_one_video(tmp_path):
    path = write_video(tmp_path / "v.mkv", 60, b_frames=0, **CLOSED)
    times = timeline_of(path).pts.tolist()
    equal = {11: 10, 12: 10, 31: 30, 50: 49}

    def repeat(number, packet):
        packet.pts = packet.dts = times[equal.get(number, number)]

    sampled = sample(rewritten(path, tmp_path / "w.mkv", repeat), 30.0)
    found = set(numbers_at_times(sampled).values())
    assert sampled.way == "skipping" and found == set(range(60)) - {10, 11, 30, 49}


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_zero_delta_in_mp4(tmp_path, b_frames):
    path = write_video(tmp_path / "v.mp4", 60, b_frames=b_frames, **CLOSED)
    damaged = zero_delta(path, tmp_path / "w.mp4", 15)
    sampled, decoded = sample(damaged, 30.0), full_decode(damaged)
    assert sampled.way == "skipping" and sampled.timeline.pts.tolist() == [at for at, _ in decoded]
    assert len(set(sampled.timeline.pts.tolist())) >= 57
    for k, number in numbers_at_times(sampled).items():
        assert number == max(n for n, (at, _) in enumerate(decoded) if at <= k * 512)


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("lacking", [{20}, {21}, {22, 40}, {30, 31}])
@pytest.mark.integration
def test_pes_packets_without_timestamps(tmp_path, b_frames, lacking):
    path = write_video(tmp_path / "v.ts", 60, b_frames=b_frames, **CLOSED)
    damaged = without_time(path, tmp_path / "w.ts", lacking)
    sampled = sample(damaged, 30.0)
    assert sampled.way == "skipping" and not sampled.timeline.by_order
    assert sampled.timeline.pts.tolist() == timeline_of(path).pts.tolist()
    assert numbers_at_times(sampled) == {n: n for n in range(60)}
    are = "is" if len(lacking) == 1 else "are"
    assert sampled.timeline.notes == (f"{len(lacking)} of its timestamps {are} missing: derived from their neighbors",)


def moved_time(path, target, number: int, ticks: int, pid: int = 256):
    """Add ticks of 1/90000 s to the pts of one PES packet (ISO/IEC 13818-1, section 2.4.3.7)."""
    data = bytearray(path.read_bytes())
    mine = [at for at in range(0, len(data), 188) if data[at + 2] + 256 * (data[at + 1] & 31) == pid]
    at = [at for at in mine if data[at + 1] & 64][number]
    p = at + 4 + (1 + data[at + 4] if data[at + 3] & 32 else 0) + 9
    value = (data[p] >> 1 & 7) << 30 | data[p + 1] << 22 | data[p + 2] >> 1 << 15 | data[p + 3] << 7 | data[p + 4] >> 1
    value += ticks
    fields = (value >> 30 & 7) << 1 | data[p] & 0xF1, value >> 22 & 255, (value >> 15 & 127) << 1 | 1
    data[p : p + 5] = bytes((*fields, value >> 7 & 255, (value & 127) << 1 | 1))
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("codec", "ticks", "b_frames"), [("libx264", 15360, 0), ("libx264", 15360, 2), ("mpeg2video", 30, 2)]
)
@pytest.mark.parametrize("error_sec", [-1.5, 5.0])
@pytest.mark.integration
def test_one_timestamp_that_is_far_off(tmp_path, codec, ticks, b_frames, error_sec):
    path = write_video(tmp_path / "v.ts", 60, **(CLOSED | {"codec": codec, "ticks": ticks, "b_frames": b_frames}))
    sampled = sample(moved_time(path, tmp_path / "w.ts", 25, round(error_sec * 90000)), 30.0)
    assert numbers_at_times(sampled) == {n: n for n in range(60)}
    assert "1 of its timestamps is out of order: derived from their neighbors" in sampled.timeline.notes


def test_equal_timestamps_where_only_decoding_tells_the_order(tmp_path, monkeypatch):
    """MPEG-4 with B-frames, its headers left unread: frames are known by their order, and keep their times."""
    monkeypatch.delitem(INSPECTORS, "mpeg4")
    path = write_video(tmp_path / "v.mkv", 60, codec="mpeg4", b_frames=2, gop=20)
    times = timeline_of(path).pts.tolist()

    def repeat(number, packet):
        packet.pts = times[29] if packet.pts == times[30] else packet.pts

    sampled = sample(rewritten(path, tmp_path / "w.mkv", repeat), 30.0)
    assert sampled.timeline.by_order and sampled.timeline.pts.tolist() == [*times[:30], times[29], *times[31:]]
    assert set(numbers_at_times(sampled).values()) == set(range(60)) - {29}
    assert sampled.timeline.notes == (
        "1 of its timestamps is repeated: of frames with equal times the last one is shown",
    )


def test_key_frames_keep_their_times_beside_a_repeated_one(tmp_path):
    path = write_video(tmp_path / "v.mkv", 60, b_frames=0, **CLOSED)
    times = timeline_of(path).pts.tolist()

    def repeat(number, packet):
        packet.pts = packet.dts = times[number - (number in (20, 33))]  # one is a key frame, and the later of two

    sampled = sample(rewritten(path, tmp_path / "w.mkv", repeat), None)
    assert [read_number(rgb) for rgb in sampled.rgb.values()] == [0, 20, 40]


def test_a_stream_cut_in_the_middle_is_not_reported_as_having_no_timestamps(tmp_path):
    path = write_video(tmp_path / "v.ts", 90, codec="mpeg2video", gop=15, ticks=30, b_frames=2)
    data = path.read_bytes()
    start = len(data) // 2 // 188 * 188
    (tmp_path / "w.ts").write_bytes(data[start:])
    sampled, decoded = sample(tmp_path / "w.ts", 30.0), full_decode(tmp_path / "w.ts")
    assert not sampled.timeline.by_order and not any("timestamp" in note for note in sampled.timeline.notes)
    assert sampled.timeline.pts.tolist() == [at for at, _ in decoded]
    assert list(sampled.digests.values()) == [found for _, found in decoded]


def test_only_timestamps_without_order_are_replaced_by_counting_and_this_is_reported(tmp_path):
    path = write_video(tmp_path / "v.mkv", 60, b_frames=0, **CLOSED)

    def forget(number, packet):
        packet.pts = packet.dts = 0

    rewritten(path, tmp_path / "equal.mkv", forget)
    parts = [write_video(tmp_path / f"{n}.ts", 30, b_frames=0, **CLOSED) for n in range(2)]
    (tmp_path / "twice.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    reasons = {
        "equal.mkv": "all its frames have the same timestamp: its frames are counted in even steps",
        "twice.ts": "its timestamps do not increase with its frames: its frames are counted in even steps",
    }
    for name, reason in reasons.items():
        timeline = timeline_of(tmp_path / name)
        assert timeline.by_order and reason in timeline.notes
        steps = np.diff(timeline.pts) * float(Fraction(*timeline.time_base))
        assert len(timeline.pts) == 60 and len(set(np.diff(timeline.pts).tolist())) == 1
    assert steps == pytest.approx(1 / 30)  # the rate is known of the second one alone
