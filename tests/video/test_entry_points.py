"""Parts of a plan, read from the middle of a file: the frames are those of the whole plan."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedonce.pipeline.video import decode, seeking, sought_packets
from embedonce.pipeline.video.container import open_video, packets_of
from embedonce.pipeline.video.decode import SKIPPING, RequestedFrames
from embedonce.pipeline.video.entry_points import EntryPoints
from embedonce.pipeline.video.seeking import packets_from
from embedonce.pipeline.video.skipping import PackedPlan, plan_feed
from tests.support.videos import digest, timeline_of, write_video

FRAMES = 90
HEVC = {"codec": "libx265", "options": {"x265-params": "open-gop=1:log-level=none"}}
KINDS = {
    "mp4": ("v.mp4", {"gop": 10}),
    "late mp4": ("v.mp4", {"gop": 10, "pts": [30_000 + 512 * n for n in range(FRAMES)]}),
    "mkv": ("v.mkv", {"gop": 10, "ticks": 1000}),
    "open GOPs": ("v.mp4", {"gop": 12, **HEVC}),
    "vp9": ("v.webm", {"gop": 10, "codec": "libvpx-vp9", "ticks": 1000, "b_frames": None}),
    "mjpeg": ("v.mkv", {"ticks": 1000, "codec": "mjpeg", "pix_fmt": "yuvj420p", "b_frames": None}),
}


class Planned:
    """A video, every third frame of which is requested, and the plan for that."""

    def __init__(self, path: Path):
        self.path, timeline = path, timeline_of(path)
        self.index = timeline.index
        self.pts = timeline.pts[::3]
        feed = plan_feed(self.index, self.pts)
        self.plan = PackedPlan.of(feed, EntryPoints.of(self.index, self.pts, feed.starts))

    def decoded(self, first: int, stop: int, plan: PackedPlan) -> tuple[list[tuple[int, str]], RequestedFrames]:
        """((row, digest) of the frames from first to stop, what decoded them)."""
        frames = RequestedFrames(self.path, np.arange(stop - first), self.pts[first:stop], False, plan=plan)
        return [(first + item[0], digest(item[1])) for item in frames if item is not None], frames

    def in_parts(self, *bounds: int) -> list[tuple[int, str]]:
        """The frames of the parts between these rows; each was decoded by its plan alone."""
        found = []
        for first, stop in zip((0, *bounds), (*bounds, len(self.pts)), strict=True):
            frames, requested = self.decoded(first, stop, self.plan.part(first, stop))
            assert requested.way == SKIPPING
            found += frames
        return found


@pytest.fixture(scope="module", params=KINDS)
def planned(request, tmp_path_factory) -> Planned:
    name, settings = KINDS[request.param]
    return Planned(write_video(tmp_path_factory.mktemp("entry_points") / name, FRAMES, **settings))


@pytest.fixture
def reads(monkeypatch) -> list[int]:
    """How many packets each reading of a file took."""
    counts = []

    def counted(*arguments) -> Iterator:
        counts.append(0)
        for packet in packets_of(*arguments):
            counts[-1] += 1
            yield packet

    monkeypatch.setattr(decode, "packets_of", counted)
    monkeypatch.setattr(seeking, "packets_of", counted)
    monkeypatch.setattr(sought_packets, "packets_of", counted)
    return counts


def test_parts_have_the_frames_of_the_whole_and_read_little_more(planned, reads):
    whole, _ = planned.decoded(0, 30, planned.plan)
    reads.clear()
    assert planned.in_parts(7, 16, 23) == whole and len(whole) == 30
    assert len(reads) == 4 and sum(reads) < FRAMES + 4 * 24  # each begins at most two groups of pictures before


def test_a_part_decodes_what_the_whole_plan_decodes_from_its_entry_point_on(planned):
    part, whole = planned.plan.part(11, 20).unpacked(), planned.plan.unpacked()
    begin = planned.plan.part(11, 20).begin.number
    last = int(planned.plan.entry_points.packets[11:20].max())
    assert part.feed.tolist() == whole.feed[begin : last + 1].tolist() and not part.run_start[0]
    padded = planned.plan.part(11, 20).from_the_start().unpacked()
    assert padded.feed.tolist() == [False] * begin + part.feed.tolist()
    assert len(padded.run_start) == len(padded.feed)


def test_parts_of_a_plan_whose_packets_are_sought_read_only_those(tmp_path, reads):
    planned = Planned(write_video(tmp_path / "v.mov", FRAMES, codec="mjpeg", pix_fmt="yuvj420p", b_frames=None))
    assert planned.plan.is_sought
    whole, _ = planned.decoded(0, 30, planned.plan)
    reads.clear()
    assert planned.in_parts(7, 16, 23) == whole and len(whole) == sum(reads) == 30


@pytest.mark.parametrize("change", [{"position": 1}, {"position": 10**9}, {"pts": 1}])
def test_where_the_entry_point_is_not_found_the_file_is_read_from_the_start(planned, reads, change):
    whole, _ = planned.decoded(0, 30, planned.plan)
    part = planned.plan.part(11, 20)
    wrong = {name: getattr(part.begin, name) + value for name, value in change.items()}
    reads.clear()
    frames, requested = planned.decoded(11, 20, replace(part, begin=replace(part.begin, **wrong)))
    assert frames == whole[11:20] and requested.way == SKIPPING
    assert len(reads) == 2 and reads[1] >= part.begin.number


def test_packets_from_an_entry_point_are_those_of_reading_from_the_start(planned):
    entry = planned.plan.entry_points.entry(20)
    with open_video(planned.path, "software") as (container, stream):
        expected = [(p.pts, p.pos, bytes(p)) for p in packets_of(container, stream)][entry.number :]
    with open_video(planned.path, "software", planned.plan.stream) as (container, stream):
        reading = packets_from(container, stream, entry)
        try:
            while True:
                next(reading)
        except StopIteration as end:
            assert [(p.pts, p.pos, bytes(p)) for p in end.value] == expected


def test_plans_without_exact_entry_points_have_none(planned):
    starts = plan_feed(planned.index, planned.pts).starts
    for change in ({"positions": None}, {"stream": None}, {"has_orientations": True}):
        assert EntryPoints.of(replace(planned.index, **change), planned.pts, starts) is None
    unknown = np.full(len(planned.index.is_key), -1)
    assert EntryPoints.of(replace(planned.index, positions=unknown), planned.pts, starts) is None
    assert EntryPoints.of(planned.index, planned.pts + 1, starts) is None


@pytest.mark.slow
def test_real_videos_have_the_same_frames_in_parts(real_videos):
    num_cut = 0
    for path in sorted(real_videos.iterdir()):
        try:
            planned = Planned(path)
        except Exception:  # not usable, or decoded completely
            continue
        if planned.plan is None or planned.plan.entry_points is None or len(planned.pts) < 4:
            continue
        bounds = [len(planned.pts) * i // 4 for i in (1, 2, 3)]
        assert planned.in_parts(*bounds) == planned.decoded(0, len(planned.pts), planned.plan)[0], path
        num_cut += 1
    assert num_cut >= 15
