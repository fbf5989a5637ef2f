"""Which rows of a unit a teacher of windows sees together, and which rows each window stands for."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.cache.schema import Segment


@dataclass(frozen=True)
class RowWindow:
    """A window of rows of a unit.

    rows: those whose middle of a window is nearest. frames: (T,) int64, the rows that it shows, in order of time; the
    last one is repeated where there are fewer.
    """

    rows: range
    frames: np.ndarray

    @property
    def first(self) -> int:
        """The first row that it needs."""
        return min(self.rows.start, int(self.frames[0]))

    @property
    def stop(self) -> int:
        """One more than the last row that it needs."""
        return max(self.rows.stop, int(self.frames[-1]) + 1)


def row_windows(segments: Sequence[Segment], length: int, stride: int) -> Iterator[RowWindow]:
    """The windows of `length` rows, one every `stride` rows, over all rows of a unit, in order.

    No window goes beyond a video, beyond the unit, or over a time without a frame (damaged, lost or redacted). The last
    one of such a run of rows ends with its last row.
    """
    start = 0
    for segment in segments:
        for run in _runs(segment):
            yield from _windows_of_run(range(start + run.start, start + run.stop), length, stride)
        start += segment.num_rows


def _runs(segment: Segment) -> Iterator[range]:
    """The rows of a segment, divided where a requested time has no frame."""
    latest = np.maximum.accumulate(segment.request_row) if len(segment.request_row) else segment.request_row
    gaps = np.unique(latest[segment.request_row < 0] + 1)
    bounds = [0, *gaps[(gaps > 0) & (gaps < segment.num_rows)].tolist(), segment.num_rows]
    yield from (range(start, stop) for start, stop in itertools.pairwise(bounds) if stop > start)


def _windows_of_run(run: range, length: int, stride: int) -> Iterator[RowWindow]:
    count = len(run)
    last = max(0, count - length)
    firsts = sorted({min(first, last) for first in range(0, last + stride, stride)})
    middles = np.array(firsts) + (min(length, count) - 1) / 2
    ends = [*(np.floor((middles[:-1] + middles[1:]) / 2).astype(int) + 1).tolist(), count]
    start = 0
    for first, end in zip(firsts, ends, strict=True):
        frames = np.minimum(first + np.arange(length), count - 1)
        yield RowWindow(range(run.start + start, run.start + end), run.start + frames)
        start = end
