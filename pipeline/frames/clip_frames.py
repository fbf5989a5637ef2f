"""Which frames of a clip a student is evaluated on. Pure arithmetic."""

import numpy as np


def segment_centers(num_rows: int, count: int) -> np.ndarray:
    """(count,) int64, increasing: the middle row of each of `count` equal segments of num_rows >= count rows."""
    bounds = np.linspace(0, num_rows, count + 1)
    return ((bounds[:-1] + bounds[1:]) / 2).astype(int)
