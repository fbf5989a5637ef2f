"""Count the grid times in many windows, and those in several of them: pure arithmetic on arrays.

The same result as sampling_times.count_times, for any number of windows.
"""

import math

import numpy as np

from embedonce.cache.schema import TIME_TOLERANCE_SEC
from embedonce.pipeline.frames.grid import Grid


def count_requested(grid: Grid, first_sec: float, end_sec: float) -> tuple[int, int]:
    """(times in at least one window, times in at least two) of a video with this extent, without redacted ones."""
    last = int(_first_at(np.array([end_sec - TIME_TOLERANCE_SEC]), first_sec, grid.even_fps)[0])
    spans = _spans(grid.windows, first_sec, end_sec, grid.even_fps).clip(0, last)
    requested, shared = _lengths(spans)
    hidden = _joined(_spans(grid.redacted, first_sec, end_sec, grid.even_fps).clip(0, last))
    for start, stop in hidden:
        hidden_times, hidden_shared = _lengths(spans.clip(start, stop))
        requested, shared = requested - hidden_times, shared - hidden_shared
    return requested, shared


def count_empty(grid: Grid, first_sec: float, end_sec: float) -> int:
    """Number of windows that contain no time of a video with this extent, or only redacted ones."""
    last = int(_first_at(np.array([end_sec - TIME_TOLERANCE_SEC]), first_sec, grid.even_fps)[0])
    spans = _spans(grid.windows, first_sec, end_sec, grid.even_fps).clip(0, last)
    seen = spans[:, 1] - spans[:, 0]
    for start, stop in _joined(_spans(grid.redacted, first_sec, end_sec, grid.even_fps).clip(0, last)):
        hidden = spans.clip(start, stop)
        seen -= hidden[:, 1] - hidden[:, 0]
    return int((seen <= 0).sum())


def _lengths(spans: np.ndarray) -> tuple[int, int]:
    """Number of integers in at least one of the half-open (N, 2) spans, and in at least two."""
    ends = np.concatenate([spans[:, 0], spans[:, 1]])
    steps = np.repeat([1, -1], len(spans))
    order = np.argsort(ends, kind="stable")
    depth, lengths = steps[order].cumsum()[:-1], np.diff(ends[order])
    return int(lengths[depth > 0].sum()), int(lengths[depth > 1].sum())


def _joined(spans: np.ndarray) -> list[tuple[int, int]]:
    """The union of (N, 2) spans, as spans that do not touch."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(map(tuple, spans.tolist())):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif stop > start:
            joined.append((start, stop))
    return joined


def _spans(windows, first_sec: float, end_sec: float, fps: float) -> np.ndarray:
    """(N, 2) int64 grid positions [first, stop) of the windows; an infinite end stands for the extent's."""
    bounds = np.array(windows, np.float64).reshape(-1, 2)
    starts = np.where(bounds[:, 0] == -math.inf, first_sec, bounds[:, 0] - TIME_TOLERANCE_SEC)
    stops = np.where(bounds[:, 1] == math.inf, end_sec, bounds[:, 1]) - TIME_TOLERANCE_SEC
    first, stop = _first_at(starts, first_sec, fps), _first_at(stops, first_sec, fps)
    return np.stack([first, np.maximum(first, stop)], axis=1)


def _first_at(t_sec: np.ndarray, first_sec: float, fps: float) -> np.ndarray:
    """The smallest k with first_sec + k / fps >= t, in the same float64 arithmetic that computes times."""
    k = np.ceil((t_sec - first_sec) * fps).astype(np.int64)
    while (early := first_sec + (k - 1) / fps >= t_sec).any():
        k -= early
    while (late := first_sec + k / fps < t_sec).any():
        k += late
    return k
