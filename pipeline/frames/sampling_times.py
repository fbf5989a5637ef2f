"""Find the frame displayed at each requested time. Pure arithmetic on integer pts.

The frame at t is the last one with pts <= t + tolerance; the tolerance is half a tick, at most MAX_EARLY_SEC, since
timestamps and times are rounded. Requested times are on one grid per video, t_k = t_first + k / fps, so that
overlapping windows request the same times. Windows and the video's extent are half-open, to TIME_TOLERANCE_SEC.
"""

import math
from dataclasses import dataclass

import numpy as np

from embedonce.cache.schema import LOST, NO_FRAME, REDACTED, TIME_TOLERANCE_SEC, seconds
from embedonce.pipeline.frames.grid import Grid, within
from embedonce.pipeline.frames.snapping import snapped

MAX_EARLY_SEC = 1e-3  # no frame is displayed earlier than this before its time, however coarse the ticks
MAX_REQUESTS = 10_000_000  # per video; a wrong annotation could request more than fits into memory


@dataclass(frozen=True)
class Requests:
    """Requested times of one video and the distinct frames displayed at them.

    k: (m,) int64 grid positions. row: (m,) int64 indices into frame_index and pts; NO_FRAME, REDACTED or LOST if there
    is no frame. frame_index: (n,) int64 display index in the stream; pts: (n,) int64.
    """

    k: np.ndarray
    row: np.ndarray
    frame_index: np.ndarray
    pts: np.ndarray


def request_frames(
    grid: Grid,
    pts: np.ndarray,
    key_pts: np.ndarray,
    time_base: tuple[int, int],
    end_sec: float,
    holes: np.ndarray | None = None,
):
    """Resolve the grid of one video into Requests.

    pts: (n,) int64 of all frames, non-decreasing, n >= 1; of frames with equal pts the last is displayed. key_pts:
    those of key frames. end_sec: when the last frame stops being displayed. holes: (h, 2) int64 ticks [start, end),
    increasing: times whose frames are missing. Times of a window outside the video are requests without a frame. A time
    is redacted if it, or the frame that would answer it, is in a redacted part. ValueError if too many times are
    requested.
    """
    if grid.fps is None:
        k, t_sec, shown = _key_frames(grid, pts, key_pts, time_base)
    else:
        k, t_sec, shown = _even_times(grid, pts, time_base, end_sec)
    if grid.snap_sec is not None:
        shown = snapped(grid, t_sec, shown, pts, key_pts, time_base)
    hidden = (shown >= 0) & (within(t_sec, grid.redacted) | within(seconds(pts[shown], time_base), grid.redacted))
    lost = (shown >= 0) & ~hidden & _in_holes(t_sec, holes, time_base)
    row = np.where(hidden, REDACTED, np.where(lost, LOST, NO_FRAME))
    has_frame = (shown >= 0) & ~hidden & ~lost
    frames, row[has_frame] = np.unique(shown[has_frame], return_inverse=True)
    return Requests(k, row.astype(np.int64), frames.astype(np.int64), pts[frames])


def count_times(grid: Grid, first_sec: float, end_sec: float) -> int:
    """Number of times that an evenly spaced grid requests of a video with this extent, without redacted ones.

    The number of frames that request_frames would find, except near the ends of redacted parts.
    """
    fps = grid.even_fps
    requested = _joined(_grid_span(start, end, (first_sec, end_sec), fps) for start, end in grid.windows)
    hidden = _joined(_grid_span(start, end, (first_sec, end_sec), fps) for start, end in grid.redacted)
    last = _first_at(end_sec - TIME_TOLERANCE_SEC, first_sec, fps)
    requested = [(max(start, 0), min(stop, last)) for start, stop in requested]
    total = sum(stop - start for start, stop in requested if stop > start)
    return total - sum(max(0, min(a[1], h[1]) - max(a[0], h[0])) for a in requested for h in hidden)


def _joined(spans) -> list[tuple[int, int]]:
    """The union of [start, stop) spans, as spans that do not touch."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif stop > start:
            joined.append((start, stop))
    return joined


def _even_times(grid: Grid, pts: np.ndarray, time_base: tuple[int, int], end_sec: float):
    """(k, t_sec, index of the displayed frame or -1) of every grid position in the windows."""
    first_sec = float(seconds(pts[0], time_base))
    spans = [_grid_span(start, end, (first_sec, end_sec), grid.even_fps) for start, end in grid.windows]
    if sum(stop - start for start, stop in spans) > MAX_REQUESTS:
        raise ValueError(f"more than {MAX_REQUESTS} times are requested of one video")
    k = np.unique(
        np.concatenate([np.arange(start, stop, dtype=np.int64) for start, stop in spans] or [np.zeros(0, np.int64)])
    )
    k = k.astype(np.int64)
    t_sec = first_sec + k / np.float64(grid.even_fps)
    ticks_per_sec = time_base[1] / np.float64(time_base[0])
    ticks = np.floor(t_sec * ticks_per_sec + min(0.5, MAX_EARLY_SEC * ticks_per_sec)).astype(np.int64)
    shown = np.searchsorted(pts, ticks, side="right") - 1
    shown[t_sec >= end_sec - TIME_TOLERANCE_SEC] = -1
    return k, t_sec, shown


def _key_frames(grid: Grid, pts: np.ndarray, key_pts: np.ndarray, time_base: tuple[int, int]):
    """The same for every key frame in the windows."""
    t_sec = seconds(key_pts, time_base)
    requested = within(t_sec, grid.windows)
    return key_pts[requested] - pts[0], t_sec[requested], np.searchsorted(pts, key_pts[requested], side="right") - 1


def _in_holes(t_sec: np.ndarray, holes: np.ndarray | None, time_base: tuple[int, int]) -> np.ndarray:
    """(n,) bool: which times are in a hole."""
    if holes is None or not len(holes):
        return np.zeros(len(t_sec), bool)
    starts, ends = (
        seconds(holes[:, 0], time_base) - TIME_TOLERANCE_SEC,
        seconds(holes[:, 1], time_base) - TIME_TOLERANCE_SEC,
    )
    at = np.searchsorted(starts, t_sec, side="right") - 1
    return (at >= 0) & (t_sec < ends[at])


def _grid_span(start_sec: float, end_sec: float, extent: tuple[float, float], fps: float) -> tuple[int, int]:
    """The k with start_sec <= t_k < end_sec; an infinite end means that of the video."""
    start_sec = extent[0] if start_sec == -math.inf else start_sec - TIME_TOLERANCE_SEC
    end_sec = extent[1] if end_sec == math.inf else end_sec
    first, stop = (_first_at(bound, extent[0], fps) for bound in (start_sec, end_sec - TIME_TOLERANCE_SEC))
    return first, max(first, stop)


def _first_at(t_sec: float, first_sec: float, fps: float) -> int:
    """The smallest k with t_k >= t_sec, in the same float64 arithmetic that computes t_k."""
    k = math.ceil((t_sec - first_sec) * fps)
    while first_sec + (k - 1) / fps >= t_sec:
        k -= 1
    while first_sec + k / fps < t_sec:
        k += 1
    return k
