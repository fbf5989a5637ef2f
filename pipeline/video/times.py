"""Display times of frames from timestamps of which some are missing, repeated or wrong. Pure arithmetic.

One bad timestamp costs one timestamp: all others are kept.
"""

import bisect
from dataclasses import dataclass

import numpy as np

MAX_STRAY = 8  # at most one in this many timestamps may be out of order, otherwise the order is wrong
MAX_STRAY_BY_HEADERS = 100  # the same if the order comes from headers alone
MAX_LACKING = 25  # frames per timestamp: some containers have only occasional timestamps
MAX_EQUAL = 10  # frames per distinct time


@dataclass(frozen=True)
class RawTimes:
    """Timestamps of n packets in decoding order, as the container gives them.

    pts, dts: (n,) int64 ticks, undefined where has_pts, has_dts: (n,) bool are false.
    """

    pts: np.ndarray
    has_pts: np.ndarray
    dts: np.ndarray
    has_dts: np.ndarray


@dataclass(frozen=True)
class ShownTimes:
    """Times of m frames in output order.

    pts: (m,) int64 ticks, non-decreasing. Of frames with equal times the last is displayed. num_missing, num_stray:
    number of frames without a timestamp, and with one that contradicts the output order; both are derived.
    """

    pts: np.ndarray
    num_missing: int = 0
    num_stray: int = 0

    @property
    def is_superseded(self) -> np.ndarray:
        """(m,) bool: another frame has the same time, so that this one is never displayed."""
        return np.append(self.pts[1:] == self.pts[:-1], False)[: len(self.pts)]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the timestamps, one note each."""
        num_equal = int(self.is_superseded.sum())
        counts = (
            (num_equal, "repeated: of frames with equal times the last one is shown"),
            (self.num_missing, "missing: derived from their neighbors"),
            (self.num_stray, "out of order: derived from their neighbors"),
        )
        return tuple(f"{count} of its timestamps {_are(count)} {what}" for count, what in counts if count)


def resolve_times(times: RawTimes, sequence: np.ndarray, max_stray: int = MAX_STRAY) -> ShownTimes | None:
    """The times of the packets in `sequence`, (m,) int64 packet numbers in output order.

    max_stray: at most one in this many timestamps may contradict the order. None if the timestamps do not match the
    order, or are too few.
    """
    pts, has_pts = times.pts[sequence], times.has_pts[sequence]
    if has_pts.all() and (np.diff(pts) > 0).all():
        return ShownTimes(pts)
    known = np.flatnonzero(has_pts)
    if len(known) < 2:
        return None
    kept = known[_in_order(pts[known])]
    num_stray, num_distinct = len(known) - len(kept), len(np.unique(pts[kept]))
    if num_stray > max(1, len(known) // max_stray) or num_distinct < 2:
        return None
    if num_distinct * MAX_EQUAL < len(kept) or len(known) * MAX_LACKING < len(pts):
        return None
    filled = _fill(pts.copy(), kept, _expected(times, pts[kept]))
    return ShownTimes(filled, len(pts) - len(known), num_stray)


def are_in_decoding_order(times: RawTimes, shown: np.ndarray) -> bool:
    """Whether timestamps increase in decoding order, as in AVI files. shown: (m,) int64 packet numbers, increasing.

    If frames leave the decoder in another order, the timestamps are right but belong to other frames.
    """
    pts = times.pts[shown]
    is_usable = len(np.unique(pts)) * MAX_EQUAL >= max(len(pts), 2 * MAX_EQUAL)
    return bool(is_usable and times.has_pts[shown].all() and (np.diff(pts) >= 0).all())


def _in_order(values: np.ndarray) -> np.ndarray:
    """(k,) int64 positions of a longest increasing subsequence, including repetitions of neighboring values."""
    chosen = _longest_increasing(values.tolist())
    at = np.searchsorted(chosen, np.arange(len(values)))
    before, after = values[chosen[np.maximum(at - 1, 0)]], values[chosen[np.minimum(at, len(chosen) - 1)]]
    return np.flatnonzero((values == before) | (values == after))


def _longest_increasing(values: list[int]) -> np.ndarray:
    tails: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for i, value in enumerate(values):
        length = bisect.bisect_left(tails, value)
        before.append(at[length - 1] if length else -1)
        tails[length : length + 1] = [value]
        at[length : length + 1] = [i]
    chosen, i = [], at[-1]
    while i >= 0:
        chosen.append(i)
        i = before[i]
    return np.array(chosen[::-1], np.int64)


def _expected(times: RawTimes, kept: np.ndarray) -> np.ndarray:
    """(d,) int64, increasing: times at which frames may begin, derived from decoding timestamps.

    Decoding timestamps are the frames' times, delayed; without B-frames by a constant.
    """
    both = times.has_pts & times.has_dts
    decoding = np.unique(times.dts[times.has_dts])
    differences = np.unique(times.pts[both] - times.dts[both])
    if len(differences) == 1:
        return decoding + differences[0]
    return decoding if np.isin(kept, decoding).mean() > 0.8 else decoding[:0]


def _fill(pts: np.ndarray, kept: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """pts with all entries but the kept positions filled in: by expected times if their number fits, else by even
    steps.
    """
    steps = np.diff(pts[kept])
    step = int(np.median(steps[steps > 0]))
    for i, j in zip((-1, *kept.tolist()), (*kept.tolist(), len(pts)), strict=True):
        count = j - i - 1
        if not count:
            continue
        if i < 0:
            pts[:j] = pts[j] - step * np.arange(count, 0, -1)
            continue
        stop = pts[j] if j < len(pts) else np.iinfo(np.int64).max
        between = expected[np.searchsorted(expected, pts[i], "right") : np.searchsorted(expected, stop, "left")]
        if len(between) == count:
            pts[i + 1 : j] = between
        elif j < len(pts):
            pts[i + 1 : j] = pts[i] + (pts[j] - pts[i]) * np.arange(1, count + 1) // (count + 1)
        else:
            pts[i + 1 :] = pts[i] + step * np.arange(1, count + 1)
    return pts


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
