"""Answer the times of a grid by key frames nearby, each of which is decoded alone. Pure arithmetic on times.

A key frame answers a time if it is at most snap_sec away, and lies in every window that contains the time, so that no
clip gets a frame of what happens before or after it. Of two, the nearer one does; of two equally near, the earlier.
Otherwise the frame displayed at the time answers it, or the next one if the former began before such a window.
Frames in redacted parts answer no time, and answers are in the order of their times if snap_sec is at most half of the
interval between times.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.cache.schema import TIME_TOLERANCE_SEC, seconds
from embedonce.pipeline.frames.grid import Grid, Windows, within


@dataclass(frozen=True)
class _Bounds:
    """For each of m increasing times, [start, end) of what all windows that contain it have in common: (m,) float64."""

    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, t_sec: np.ndarray, windows: Windows) -> "_Bounds":
        start, end = np.full(len(t_sec), -np.inf), np.full(len(t_sec), np.inf)
        for window in windows:
            first_sec, end_sec = (bound - TIME_TOLERANCE_SEC for bound in window)
            inside = slice(*np.searchsorted(t_sec, (first_sec, end_sec)))
            start[inside] = np.maximum(start[inside], first_sec)
            end[inside] = np.minimum(end[inside], end_sec)
        return cls(start, end)

    def contain(self, sec: np.ndarray) -> np.ndarray:
        """(m,) bool: whether each of these (m,) seconds is within its time's bounds."""
        return (self.start <= sec) & (sec < self.end)


def snapped(
    grid: Grid, t_sec: np.ndarray, shown: np.ndarray, pts: np.ndarray, key_pts: np.ndarray, time_base: tuple[int, int]
) -> np.ndarray:
    """(m,) int64: the frame that answers each time of a grid with snap_sec, an index into pts; -1 if none does.

    t_sec: (m,) float64, increasing. shown: (m,) int64, the frame displayed at each time, or -1. pts: (n,) int64 of all
    frames; key_pts: (k,) int64 of those that are decoded alone.
    """
    bounds = _Bounds.of(t_sec, grid.windows)
    key_pts = key_pts[~within(seconds(key_pts, time_base), grid.redacted)]
    key = _nearest_keys(grid, t_sec, seconds(key_pts, time_base), bounds)
    following = np.searchsorted(pts, pts[np.minimum(shown + 1, len(pts) - 1)], side="right") - 1
    is_late = _is_late(grid, t_sec, seconds(pts[shown], time_base), seconds(pts[following], time_base), bounds)
    answer = np.where(is_late, following, shown)
    answer[key >= 0] = np.searchsorted(pts, key_pts[key[key >= 0]], side="right") - 1
    return np.where(shown >= 0, answer, -1)


def _nearest_keys(grid: Grid, t_sec: np.ndarray, key_sec: np.ndarray, bounds: _Bounds) -> np.ndarray:
    """(m,) int64: the key frame that answers each time, an index into the increasing (k,) key_sec; -1 if none does."""
    assert grid.snap_sec is not None
    padded = np.concatenate([[-np.inf], key_sec, [np.inf]])
    before = np.searchsorted(key_sec, t_sec, side="right") - 1
    gaps = []
    for key in (before, before + 1):
        sec = padded[key + 1]
        gap = abs(sec - t_sec)
        gaps.append(np.where((gap <= grid.snap_sec + TIME_TOLERANCE_SEC) & bounds.contain(sec), gap, np.inf))
    nearest = np.where(gaps[1] < gaps[0] - TIME_TOLERANCE_SEC, before + 1, before)
    return np.where(np.isfinite(np.minimum(*gaps)), nearest, -1)


def _is_late(grid: Grid, t_sec: np.ndarray, shown_sec: np.ndarray, next_sec: np.ndarray, bounds: _Bounds) -> np.ndarray:
    """(m,) bool: where the frame displayed began before a window that contains the time, and the next one did not."""
    assert grid.snap_sec is not None
    is_near = next_sec <= t_sec + grid.snap_sec + TIME_TOLERANCE_SEC
    return (shown_sec < bounds.start) & bounds.contain(next_sec) & is_near & ~within(next_sec, grid.redacted)
