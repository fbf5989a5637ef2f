"""Which frame is shown at which requested time. Pure arithmetic on integer pts; knows no video and no pixels.

The frame at t is the last one with pts <= t, with a tolerance of half a tick. Requested times lie on one grid
per video, t_k = t_first + k / fps, so that overlapping windows ask for the same times.
"""

import math
from dataclasses import dataclass

import numpy as np

from cache.schema import seconds

MAX_REQUESTS = 10_000_000  # per video; a wrong annotation can ask for more than there is memory


@dataclass(frozen=True)
class Requests:
    """Requested times of one video and the distinct frames that answer them.

    k: (m,) int64 grid positions. row: (m,) int64 into frame_index and pts, -1 where nothing is shown.
    frame_index: (n,) int64 presentation index in the stream; pts: (n,) int64.
    """

    k: np.ndarray
    row: np.ndarray
    frame_index: np.ndarray
    pts: np.ndarray


def request_frames(pts: np.ndarray, time_base: tuple[int, int], end_sec: float, fps: float, windows=None) -> Requests:
    """Resolve the grid of one video.

    pts: (n,) int64 of all frames, increasing, n >= 1. end_sec: when the last frame ceases to be shown.
    windows: [start_sec, end_sec) pairs, infinite ends allowed; None asks for the whole extent. Times of a window
    outside the extent are requests that nothing answers. ValueError where too many times are asked for.
    """
    first_sec = float(seconds(pts[0], time_base))
    if windows is None:
        windows = [(-math.inf, math.inf)]
    spans = [_grid_span(start, end, (first_sec, end_sec), fps) for start, end in windows]
    if sum(stop - start for start, stop in spans) > MAX_REQUESTS:
        raise ValueError(f"more than {MAX_REQUESTS} times are asked of one video")
    k = np.unique(np.concatenate([np.arange(start, stop, dtype=np.int64) for start, stop in spans] or [[]]))
    k = k.astype(np.int64)
    t_sec = first_sec + k / np.float64(fps)
    ticks = np.floor(t_sec * (time_base[1] / np.float64(time_base[0])) + 0.5).astype(np.int64)
    shown = np.searchsorted(pts, ticks, side="right") - 1
    shown[t_sec >= end_sec] = -1
    frames, row = np.unique(shown, return_inverse=True)
    if len(frames) and frames[0] == -1:
        frames, row = frames[1:], row - 1
    return Requests(k, row.astype(np.int64), frames.astype(np.int64), pts[frames])


def _grid_span(start_sec: float, end_sec: float, extent: tuple[float, float], fps: float) -> tuple[int, int]:
    """The k with start_sec <= t_k < end_sec; an infinite end stands for the extent's."""
    start_sec = extent[0] if start_sec == -math.inf else start_sec
    end_sec = extent[1] if end_sec == math.inf else end_sec
    first, stop = (_first_at(bound, extent[0], fps) for bound in (start_sec, end_sec))
    return first, max(first, stop)


def _first_at(t_sec: float, first_sec: float, fps: float) -> int:
    """The smallest k with t_k >= t_sec, in the very float64 arithmetic that t_k is computed in."""
    k = math.ceil((t_sec - first_sec) * fps)
    while first_sec + (k - 1) / fps >= t_sec:
        k -= 1
    while first_sec + k / fps < t_sec:
        k += 1
    return k
