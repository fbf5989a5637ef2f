"""Which packets are skipped, which are not, and when decoding falls back to the whole video."""

import dataclasses

import av
import numpy as np
import pytest

from embedonce.pipeline.video import container, corruption, decode, feeder
from embedonce.pipeline.video.container import open_video, packets_of
from embedonce.pipeline.video.ffmpeg_log import capture_log, is_damage
from embedonce.pipeline.video.indexing import read_index
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.skipping import plan_feed, plan_full_decode
from tests.support.videos import digest, full_decode, sample, write_video
from tests.video.test_decode import spoil_packet

FLAT = {"gop": 30, "b_frames": 3, "options": {"x264-params": "b-pyramid=none:b-adapt=0:scenecut=0"}}


def index_of(pts, starts=(), droppable=(), **changes) -> PacketIndex:
    """An index of packets in decoding order, by their pts."""
    n = len(pts)
    flags = {name: np.isin(np.arange(n), chosen) for name, chosen in (("start", starts), ("drop", droppable))}
    fields = {
        "pts": np.array(pts, np.int64),
        "is_key": flags["start"],
        "is_hidden": np.zeros(n, bool),
        "is_start": flags["start"],
        "droppable": flags["drop"],
        "in_order": np.ones(n, bool),
        "fallback_reason": None,
        "is_ordered": True,
        "last_duration": 1,
        "error": None,
    }
    return PacketIndex(**{**fields, **changes})


def fed(index: PacketIndex, requested) -> tuple[list[int], list[int]]:
    """(packets fed, packets before which the decoder is emptied)"""
    plan = plan_feed(index, np.array(requested, np.int64))
    return np.flatnonzero(plan.feed).tolist(), np.flatnonzero(plan.run_start).tolist()


CLOSED = index_of([0, 3, 1, 2, 4, 7, 5, 6, 8, 9], starts=(0, 4, 8), droppable=(2, 3, 6, 7))
# packets 5 and 6 are shown before the key frame 4, and may need what comes before it
OPEN = index_of([0, 2, 1, 3, 6, 4, 5, 8, 7, 9], starts=(0, 4, 9), droppable=(2, 6, 8))


@pytest.mark.parametrize(
    ("index", "requested", "expected"),
    [
        (CLOSED, [0], ([0], [])),
        (CLOSED, [2], ([0, 1, 3], [])),  # not its unneeded neighbor, and nothing after it
        (CLOSED, [5], ([4, 5, 6], [4])),
        (CLOSED, [2, 9], ([0, 1, 3, 8, 9], [8])),
        (CLOSED, [1, 2, 4], ([0, 1, 2, 3, 4], [])),  # goes on without a gap: no need to empty the decoder
        (CLOSED, [3, 4], ([0, 1, 4], [4])),
        (OPEN, [6], ([4], [4])),
        (OPEN, [8], ([4, 5, 7], [4])),
        (OPEN, [5], ([0, 1, 3, 4, 5, 6], [])),  # a leading frame brings the group before it
        (OPEN, [9], ([9], [9])),
    ],
)
def test_only_what_requested_frames_depend_on_is_fed(index, requested, expected):
    assert fed(index, requested) == expected


def test_groups_with_gaps_in_their_numbering_are_fed_completely():
    in_order = np.ones(10, bool)
    in_order[6] = False
    index = index_of([0, 3, 1, 2, 4, 7, 5, 6, 8, 9], (0, 4, 8), (2, 3, 6, 7), in_order=in_order)
    assert fed(index, [2, 6]) == ([0, 1, 3, 4, 5, 6, 7], [])


def test_hidden_frames_are_decoded_for_others_but_never_requested():
    hidden = np.arange(10) < 3
    index = index_of([0, 3, 1, 2, 4, 7, 5, 6, 8, 9], (0, 4, 8), (2, 3, 6, 7), is_hidden=hidden)
    assert fed(index, [1, 2]) == ([0, 1, 3], [])


def test_a_fallback_feeds_everything_up_to_the_last_requested_frame():
    index = index_of([0, 3, 1, 2, 4, 5], (0, 4), (2, 3), fallback_reason="odd")
    assert fed(index, [2]) == ([0, 1, 2, 3], [])
    plan = plan_full_decode(dataclasses.replace(index, pts=None), None, "no timestamps")
    assert plan.feed.all() and plan.fallback_reason == "no timestamps"


# -- on videos -----------------------------------------------------------------------------------------------------


def read(path) -> PacketIndex:
    with open_video(path, "software") as (container, stream):
        reading = read_index(container, stream)
        while True:
            try:
                next(reading)
            except StopIteration as end:
                return end.value


@pytest.mark.integration
def test_most_of_a_video_is_skipped(tmp_path):
    sampled = sample(write_video(tmp_path / "v.mp4", 300, **(FLAT | {"gop": 150})), 1.0)
    assert (sampled.way, len(sampled.digests)) == ("skipping", 10)
    assert sampled.num_fed < 80  # a quarter are references, and the ends of the groups are not needed
    assert sample(tmp_path / "v.mp4", None).num_fed == 2  # key frames alone


@pytest.mark.parametrize(
    ("settings", "num_starts"),
    [
        ({"gop": 12, "options": {"x264-params": "open-gop=1:scenecut=0"}, "file": "v.mkv"}, 1),
        ({"gop": 15, "b_frames": 0, "options": {"x264-params": "intra-refresh=1:scenecut=0"}}, 1),
        ({"gop": 15, "options": {"x264-params": "scenecut=0"}}, 6),
        ({"gop": 15, "codec": "libx265", "options": {"x265-params": "log-level=none:scenecut=0"}}, 6),
    ],
)
@pytest.mark.integration
def test_a_key_frame_is_an_entry_point_only_if_nothing_refers_across_it(tmp_path, settings, num_starts):
    index = read(write_video(tmp_path / settings.pop("file", "v.mp4"), 90, **settings))
    assert index.fallback_reason is None and index.is_start.sum() == num_starts


@pytest.mark.integration
def test_references_are_never_droppable(tmp_path):
    """Against the decoder: leaving out what is droppable changes no other frame; each kind of video has some."""
    for name, settings in {
        "flat.mp4": FLAT,
        "pyramid.mp4": {"gop": 30, "b_frames": 5},
        "hevc.mp4": {"codec": "libx265", "gop": 30},
        "layers.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:temporal-layers=3:bframes=7"}},
    }.items():
        path = write_video(tmp_path / name, 90, **settings)
        index, decoded = read(path), dict(full_decode(path))
        kept = np.sort(index.pts[~index.droppable])
        requested = decode.RequestedFrames(path, np.searchsorted(index.shown_pts, kept), kept, False)
        found = {frame.pts: digest(frame) for _, frame in filter(None, requested)}
        assert requested.way == "skipping" and requested.num_fed == len(kept) < 90, name
        assert found == {pts: decoded[pts] for pts in kept} and len(decoded) == 90


def test_a_decoder_error_leads_to_a_full_decode(tmp_path):
    path = write_video(tmp_path / "v.mp4", 90, **FLAT)
    spoil_packet(path, 31)  # a reference in the second group: its headers are gone as well
    sampled = sample(path, 2.0)
    assert sampled.way == "whole (the lengths of its NAL units do not match its packets)"
    path = write_video(tmp_path / "w.mp4", 90, **FLAT)
    with av.open(str(path)) as file:
        position, size = next((p.pos, p.size) for n, p in enumerate(file.demux(video=0)) if n == 61)
    data = bytearray(path.read_bytes())
    data[position + size // 2 : position + size] = bytes(size - size // 2)  # its headers are whole, its end is not
    path.write_bytes(data)
    sampled = sample(path, 2.0)
    assert sampled.way == "whole (its decoder reports errors)"
    assert set(sampled.digests) == {0, 1, 2, 3, 4}  # 75 depends on the broken one


@pytest.mark.parametrize("kept_bytes", [0, 10**9])
@pytest.mark.integration
def test_files_too_large_to_keep_in_memory_are_read_again(tmp_path, monkeypatch, kept_bytes):
    monkeypatch.setattr(feeder, "KEPT_BYTES", kept_bytes)
    reads = []
    monkeypatch.setattr(decode, "packets_of", lambda *opened: reads.append(1) or packets_of(*opened))
    path = write_video(tmp_path / "v.mp4", 90, **FLAT)
    assert list(sample(path, 2.0).digests.values()) == [full_decode(path)[n][1] for n in range(0, 90, 15)]
    assert len(reads) == (kept_bytes == 0)
    spoil_packet(path, 31)
    assert set(sample(path, 2.0).digests) == {0, 1, 2, 4, 5}  # 45 depends on it


def test_packets_are_kept_only_while_they_are_few(tmp_path):
    with open_video(write_video(tmp_path / "v.mp4", 30, **FLAT), "software") as (container, stream):
        packets = list(packets_of(container, stream))
    kept = feeder.KeptPackets()
    for packet in packets:
        kept.add(packet)
    assert kept.packets == packets
    for _ in range(feeder.KEPT_BYTES // 500 // 30):  # as many as there could be in a small file
        for packet in packets:
            kept.add(packet)
    assert kept.packets is None


def test_heartbeats_come_while_packets_are_skipped(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 90, **FLAT)
    monkeypatch.setattr(container, "HEARTBEAT_SEC", 0.0)
    requested = decode.RequestedFrames(path, np.array([89]), np.array([89 * 512]), False)
    found = list(requested)
    assert found.count(None) > 150 and requested.num_fed < 20  # once a packet while indexing, and while passing over


def test_a_video_whose_frames_come_out_in_another_order_is_decoded_completely(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 60, **FLAT)
    judged = feeder.Feeder._with_state
    shuffle = {10 * 512: 40, 11 * 512: 39}

    def disordered(self, frames, order):
        for _, frame in frames:
            frame.pts = shuffle.get(frame.pts, frame.pts) if self._plan.fallback_reason is None else frame.pts
        return judged(self, frames, order)

    monkeypatch.setattr(feeder.Feeder, "_with_state", disordered)
    assert sample(path, 30.0).way == "whole (frames came out in a different order than their timestamps)"


def test_frames_yielded_before_a_fallback_are_not_yielded_again(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 90, **FLAT)
    undamaged = sample(path, 10.0)
    judged = feeder.Feeder._with_state

    def doubtful(self, frames, order):
        skips = self._plan.fallback_reason is None
        return [(n, f, sound and not (skips and f.pts > 50 * 512)) for n, f, sound in judged(self, frames, order)]

    monkeypatch.setattr(feeder.Feeder, "_with_state", doubtful)
    sampled = sample(path, 10.0)
    assert sampled.way == "whole (its decoder reports errors)" and sampled.digests == undamaged.digests


def test_a_requested_frame_that_does_not_come_out_leads_to_a_full_decode(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 60, **FLAT)
    real = decode.plan_feed

    def forgetful(index, requested_pts):
        plan = real(index, requested_pts)
        plan.feed[20:30] = False
        return plan

    monkeypatch.setattr(decode, "plan_feed", forgetful)
    sampled = sample(path, 5.0)
    assert sampled.way == "whole (a frame did not come out)" and len(sampled.digests) == 10


# -- damage ------------------------------------------------------------------------------------------------------------


def stained(index: PacketIndex, complaints: set[int]) -> list[int]:
    """pts of the frames that are not sound where the decoder complained of these packets."""
    tracker = corruption.CorruptionTracker(index)
    for n in range(len(index.is_key)):
        tracker.note(n, n in complaints)
    return [pts for pts in sorted(index.pts.tolist()) if tracker.on(pts)]


def test_an_error_marks_everything_that_may_depend_on_it_as_corrupt():
    assert stained(CLOSED, set()) == []
    assert stained(CLOSED, {2}) == [1]  # nothing needs it
    assert stained(CLOSED, {1}) == [1, 2, 3]  # all that follows in decoding order, up to the next key frame
    assert stained(CLOSED, {4}) == [4, 5, 6, 7]
    assert stained(OPEN, {3}) == [3, 4, 5]  # leading frames of the next group may need it
    assert stained(dataclasses.replace(CLOSED, fallback_reason="odd", is_key=np.arange(10) == 8), {1}) == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
    ]


def test_without_timestamps_an_error_marks_frames_as_corrupt_until_the_next_key_frame():
    tracker = corruption.CorruptionTracker(dataclasses.replace(CLOSED, pts=None))
    tracker.note(0, False), tracker.note(1, True), tracker.note(2, False)
    assert tracker.on(None)
    tracker.note(4, False)
    assert not tracker.on(None)


def test_which_messages_mean_damage():
    assert is_damage(av.logging.ERROR, "x") and is_damage(av.logging.WARNING, "x")
    assert is_damage(av.logging.INFO, "concealing 7 DC, 7 AC, 7 MV errors in P frame")
    assert not is_damage(av.logging.INFO, "Reinit context to 160x64")


def test_a_frame_marked_as_corrupt_is_not_intact():
    @dataclasses.dataclass
    class Frame:
        pts: int
        is_corrupt: bool

    fed = object.__new__(feeder.Feeder)
    fed._corruption = corruption.CorruptionTracker(CLOSED)
    fed._ranks = None
    judged = fed._with_state([(None, Frame(0, False)), (None, Frame(1, True))], iter(range(2)))
    assert [(order, is_sound) for order, _, is_sound in judged] == [(0, True), (1, False)]


def test_capturing_restores_the_log_settings():
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    with capture_log() as messages:
        av.logging.log(av.logging.ERROR, "test", "a message")
        av.logging.log(av.logging.ERROR, "test", "a message")
    assert [text for _, _, text in messages] == ["a message"] * 2
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before
