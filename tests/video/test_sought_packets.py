"""Where each packet is found by its time, only those that are decoded are read, and the frames are the same."""

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest

from embedonce.pipeline.video import decode, header_index
from embedonce.pipeline.video import sought_packets as seeking
from embedonce.pipeline.video.container import open_video, packets_of
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.sampled_packets import MismatchError
from embedonce.pipeline.video.skipping import PackedPlan, plan_feed
from embedonce.pipeline.video.sought_packets import can_be_sought, sought_packets
from embedonce.pipeline.video.timeline import Timeline
from tests.support.index_comparison import FRAMES, INTRA_FILES, write_intra
from tests.support.mp4_files import TABLES, box, edited, table
from tests.support.videos import digest, full_decode, timeline_of

WANTED = [3, 4, 17, 31, 38]
ALL_KEY = {"codec": "libx264", "pix_fmt": "yuv420p", "gop": 1, "b_frames": 0}
SOUGHT = {kind: INTRA_FILES[kind] for kind in ("prores", "rawvideo")} | {
    "mjpeg": ("v.mov", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "h264 of key frames": ("v.mp4", ALL_KEY),
}
NOT_SOUGHT = {
    "in Matroska": ("v.mkv", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "display times apart": ("v.mp4", {"codec": "libx264", "pix_fmt": "yuv420p", "b_frames": 2}),
    "few key frames": ("v.mp4", ALL_KEY | {"gop": 2}),
}


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """The times of all packets that decoding reads."""
    read: list[int] = []

    def counting(*arguments):
        for packet in packets_of(*arguments):
            read.append(packet.pts)
            yield packet

    for name in ("decode", "sought_packets"):
        monkeypatch.setattr(f"embedonce.pipeline.video.{name}.packets_of", counting)
    return read


def plan_of(timeline: Timeline, wanted=WANTED) -> PackedPlan:
    assert timeline.index is not None
    plan = PackedPlan.of(plan_feed(timeline.index, timeline.pts[wanted]))
    assert plan is not None
    return plan


def decoded(path: Path, timeline: Timeline, plan: PackedPlan | None, wanted=WANTED):
    """(digests of the wanted frames, how they were decoded)."""
    frames = RequestedFrames(path, np.array(wanted), timeline.pts[wanted], False, plan=plan)
    return [(i, digest(frame)) for i, frame in filter(None, frames)], frames.way


def expected(path: Path, wanted=WANTED) -> list:
    whole = [one for _, one in full_decode(path)]
    return [(i, whole[n]) for i, n in enumerate(wanted)]


@pytest.mark.parametrize("kind", SOUGHT)
def test_only_what_is_decoded_is_read(tmp_path, counted, kind):
    name, settings = SOUGHT[kind]
    path = write_intra(tmp_path / name, **settings)
    timeline = timeline_of(path)
    assert decoded(path, timeline, plan_of(timeline)) == (expected(path), "skipping")
    assert counted == timeline.pts[WANTED].tolist()


@pytest.mark.parametrize("kind", NOT_SOUGHT)
def test_all_packets_are_read_where_they_are_not_found_by_their_times(tmp_path, counted, kind):
    name, settings = NOT_SOUGHT[kind]
    path = write_intra(tmp_path / name, **settings)
    timeline = timeline_of(path)
    assert decoded(path, timeline, plan_of(timeline))[0] == expected(path)
    assert len(counted) > WANTED[-1]


def test_nothing_is_sought_if_the_header_does_not_call_each_packet_a_key_frame(tmp_path, counted):
    """Seeking ends at key frames, as the header has them."""
    path = write_intra(tmp_path / "v.mov", codec="mjpeg", pix_fmt="yuvj420p")
    path.write_bytes(edited(path.read_bytes(), *TABLES, edit=lambda old: old + box(b"stss", table(2, 1, 20))))
    timeline = timeline_of(path)
    assert decoded(path, timeline, plan_of(timeline)) == (expected(path), "skipping")
    assert len(counted) == WANTED[-1] + 1


def test_a_hidden_beginning_is_passed_over(tmp_path, counted):
    """An edit list hides frames, which are listed all the same."""
    path = write_intra(tmp_path / "v.mov", pts=[512 * (n - 5) for n in range(FRAMES)])
    timeline = timeline_of(path)
    wanted = list(range(2, len(timeline.pts), 7))
    found, way = decoded(path, timeline, plan_of(timeline, wanted), wanted)
    assert [i for i, _ in found] == list(range(len(wanted))) and way == "skipping" and len(counted) == len(wanted)


def test_a_video_without_a_plan_is_indexed_by_its_header_and_not_read(tmp_path, counted, monkeypatch):
    """As in a run that resumes after the scan."""
    monkeypatch.setattr(header_index, "MIN_SAVING", 0.0)
    path = write_intra(tmp_path / "v.mov", codec="prores_ks", pix_fmt="yuv422p10le")
    timeline = timeline_of(path)
    assert decoded(path, timeline, None) == (expected(path), "skipping")
    assert counted == timeline.pts[WANTED].tolist()


def test_a_header_that_is_wrong_about_packets_is_not_used_without_a_plan(tmp_path, counted, monkeypatch):
    def mismatched(*_):
        raise MismatchError("packets differ")
        yield

    monkeypatch.setattr(decode, "index_by_header", mismatched)
    path = write_intra(tmp_path / "v.mov")
    timeline = timeline_of(path)
    assert decoded(path, timeline, None) == (expected(path), "skipping")


def test_frames_that_were_committed_before_leave_a_plan_that_is_read_in_turn(tmp_path, counted):
    path = write_intra(tmp_path / "v.mov")
    timeline = timeline_of(path)
    assert decoded(path, timeline, plan_of(timeline), WANTED[2:]) == (expected(path, WANTED[2:]), "skipping")
    assert len(counted) == WANTED[-1] + 1


@pytest.mark.parametrize("shift", [1, 10**9])
def test_no_other_packet_is_taken_for_the_one_that_is_sought(tmp_path, shift):
    path = write_intra(tmp_path / "v.mov")
    feed, times = np.zeros(FRAMES, bool), timeline_of(path).pts[WANTED] + shift
    feed[WANTED] = True
    with open_video(path, "software") as (container, stream), pytest.raises(MismatchError, match="a packet is not"):
        list(sought_packets(container, stream, feed, times.tolist()))


def test_packets_that_cannot_be_reached_end_in_a_full_decode(tmp_path, monkeypatch):
    path = write_intra(tmp_path / "v.mov")
    timeline = timeline_of(path)
    plan = plan_of(timeline)
    monkeypatch.setattr(decode, "sought_packets", _unreachable)
    assert decoded(path, timeline, plan) == (expected(path), "whole (a packet cannot be reached)")


def _unreachable(*_):
    raise MismatchError("a packet cannot be reached")
    yield


def test_a_decoder_that_holds_frames_back_is_drained_before_the_next_packet_is_sought(tmp_path, counted):
    """Seeking throws away what a decoder holds back."""
    path = write_intra(tmp_path / "v.mp4", **ALL_KEY)
    timeline = timeline_of(path)
    plan = plan_of(timeline)
    deep = dataclasses.replace(plan, stream=dataclasses.replace(plan.stream, reorder_depth=2))
    assert decoded(path, timeline, deep) == (expected(path), "skipping")
    assert counted == timeline.pts[WANTED].tolist()


def test_damaged_frames_are_not_yielded(tmp_path):
    path = write_intra(tmp_path / "v.mov", codec="prores_ks", pix_fmt="yuv422p10le")
    timeline = timeline_of(path)
    with av.open(str(path)) as opened:
        position = opened.streams.video[0].index_entries[WANTED[2]].pos
    with path.open("r+b") as file:
        file.seek(position)
        file.write(bytes(2000))
    assert [i for i, _ in decoded(path, timeline, plan_of(timeline))[0]] == [0, 1, 3, 4]


@pytest.mark.parametrize("gap", [1, 1 << 20])
def test_remote_files_are_sought_in_only_if_much_is_left_out(tmp_path, monkeypatch, gap):
    """Each place is a request there."""
    path = write_intra(tmp_path / "v.mov", codec="rawvideo", pix_fmt="uyvy422", size=(180, 320))
    timeline = timeline_of(path)
    feed = np.zeros(FRAMES, bool)
    feed[WANTED] = True
    monkeypatch.setattr(seeking, "REMOTE_GAP_BYTES", gap)
    with open_video(path, "software") as (_, stream):
        assert can_be_sought(stream, feed, timeline.pts[WANTED].tolist())
        monkeypatch.setattr(seeking, "location_of", lambda container: object())
        assert can_be_sought(stream, feed, timeline.pts[WANTED].tolist()) == (gap == 1)
