"""Times that windows ask for, counted with arrays: as sampling counts them, and as counting one by one does."""

import math

import numpy as np
import pytest

from embedonce.cache.schema import TIME_TOLERANCE_SEC
from embedonce.pipeline.frames.sampling_times import Grid, count_times
from embedonce.pipeline.frames.time_counts import count_empty, count_requested


@pytest.mark.parametrize("seed", range(40))
def test_counts_are_those_of_counting_one_by_one(seed):
    rng = np.random.default_rng(seed)
    fps, first = float(rng.choice([0.5, 1.0, 2.0, 3.7, 29.97])), float(rng.choice([0.0, 0.021, -0.4]))
    end = first + float(rng.uniform(1, 60))

    def spans(count: int) -> tuple[tuple[float, float], ...]:
        edges = rng.uniform(first - 5, end + 5, (count, 2)).round(int(rng.integers(0, 4)))
        return tuple((float(min(pair)), float(max(pair))) for pair in edges)

    windows, redacted = spans(int(rng.integers(0, 30))), spans(int(rng.integers(0, 3)))
    if seed % 4 == 0:
        windows = (*windows, (-math.inf, math.inf))
    times = [first + k / fps for k in range(math.ceil(90 * fps)) if first + k / fps < end - TIME_TOLERANCE_SEC]

    def holds(span, t):
        return (span[0] == -math.inf or span[0] - TIME_TOLERANCE_SEC <= t) and (
            span[1] == math.inf or t < span[1] - TIME_TOLERANCE_SEC
        )

    seen = [t for t in times if not any(holds(span, t) for span in redacted)]
    depth = [sum(holds(span, t) for span in windows) for t in seen]
    grid = Grid(fps, windows, redacted)
    assert count_requested(grid, first, end) == (sum(d > 0 for d in depth), sum(d > 1 for d in depth))
    assert count_requested(grid, first, end)[0] == count_times(grid, first, end)
    assert count_empty(grid, first, end) == sum(not any(holds(window, t) for t in seen) for window in windows)


def test_windows_that_touch_share_no_time():
    assert count_requested(Grid(2.0, ((0.0, 4.0), (4.0, 8.0))), 0.0, 10.0) == (16, 0)
    assert count_requested(Grid(2.0, ()), 0.0, 10.0) == (0, 0)
