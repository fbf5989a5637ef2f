"""How much decoding it saves to answer times by key frames nearby: counted from the packets that decoding will need."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from embedonce.cache.schema import TIME_TOLERANCE_SEC, request_seconds, seconds
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.frames.sampling_times import Requests, request_frames
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.skipping import plan_feed
from embedonce.pipeline.video.timeline import Timeline


@dataclass(frozen=True)
class SnapSaving:
    """Counts of one video, or the sums of several.

    times: that a frame answers. near: those that a key frame answers. decoded: frames to decode. without: frames to
    decode if each time were answered by the frame displayed then.
    """

    times: int = 0
    near: int = 0
    decoded: int = 0
    without: int = 0


def snap_points(timeline: Timeline) -> np.ndarray:
    """(k,) int64 pts of the key frames that may answer times nearby: none if the video is decoded completely anyway."""
    return timeline.key_pts[:0] if is_decoded_completely(timeline) else timeline.key_pts


def is_decoded_completely(timeline: Timeline) -> bool:
    """Whether nothing can be saved, because all frames are decoded whichever are requested."""
    return timeline.by_order or known_index(timeline).fallback_reason is not None


def saving_of(timeline: Timeline, grid: Grid, requests: Requests) -> SnapSaving:
    """The saving in a scanned video. requests: what this grid, which has snap_sec, requests of it."""
    times = (timeline.pts, timeline.key_pts, timeline.time_base, timeline.end_sec, timeline.holes)
    plain = request_frames(replace(grid, snap_sec=None), *times)
    counts = (num_decoded(timeline, requests), num_decoded(timeline, plain))
    return SnapSaving(int((requests.row >= 0).sum()), _num_near(timeline, grid, requests), *counts)


def num_decoded(timeline: Timeline, requests: Requests) -> int:
    """How many frames are decoded to get the requested ones; a few more if they are identified by their order."""
    index = known_index(timeline)
    if not len(requests.pts):
        return 0
    if timeline.by_order or index.pts is None:
        return int(requests.frame_index[-1]) + 1
    return int(plan_feed(index, requests.pts).feed.sum())


def known_index(timeline: Timeline) -> PacketIndex:
    """The index of a timeline that was read in this process."""
    assert timeline.index is not None
    return timeline.index


def snap_line(savings: Iterable[SnapSaving], snap_sec: float) -> str:
    """The saving in all videos, as a line of text."""
    found = list(savings)
    times, near = sum(one.times for one in found), sum(one.near for one in found)
    decoded, without = sum(one.decoded for one in found), sum(one.without for one in found)
    return (
        f"snap: {near:,} of {times:,} times have a key frame within {snap_sec:g} s; {decoded:,} frames are decoded "
        f"instead of {without:,}"
    )


def _num_near(timeline: Timeline, grid: Grid, requests: Requests) -> int:
    assert grid.snap_sec is not None
    has_row = requests.row >= 0
    pts = requests.pts[requests.row[has_row]]
    t_sec = request_seconds(requests.k[has_row], int(timeline.pts[0]), timeline.time_base, grid.fps)
    is_near = abs(seconds(pts, timeline.time_base) - t_sec) <= grid.snap_sec + TIME_TOLERANCE_SEC
    return int((is_near & np.isin(pts, snap_points(timeline))).sum())
