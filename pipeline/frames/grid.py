"""Which times of a video are requested, and how they are answered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.cache.schema import TIME_TOLERANCE_SEC

Windows = Sequence[tuple[float, float]]  # [start_sec, end_sec) pairs, infinite ends allowed
EVERYTHING: Windows = ((-math.inf, math.inf),)


@dataclass(frozen=True)
class Grid:
    """Which times of a video to request.

    fps: times per second, t_k = t_first + k / fps; None requests the key frames, t_k = t_first + k ticks.
    windows: the parts to sample. redacted: the parts that must not be used. snap_sec: an evenly spaced time is answered
    by a key frame at most this far away if there is one, as in snapping.py; None: by the frame displayed then.
    """

    fps: float | None
    windows: Windows = EVERYTHING
    redacted: Windows = ()
    snap_sec: float | None = None

    @property
    def even_fps(self) -> float:
        """fps of an evenly spaced grid. ValueError for a grid of key frames."""
        if self.fps is None:
            raise ValueError("a grid of key frames has no frame rate")
        return self.fps


def within(t_sec: np.ndarray, windows: Windows) -> np.ndarray:
    """(n,) bool: which times are in a window."""
    inside = np.zeros(len(t_sec), bool)
    for start, end in windows:
        inside |= (t_sec >= start - TIME_TOLERANCE_SEC) & (t_sec < end - TIME_TOLERANCE_SEC)
    return inside
