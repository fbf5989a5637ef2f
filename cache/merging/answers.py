"""What a cache has committed for the requests of one video: the outcome of each, and the row that answers it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.cache.schema import Segment


@dataclass(frozen=True)
class Answers:
    """One entry per committed request, in order of k. segments: what they were read from.

    k, frame_index, pts, row: (m,) int64; the last three are -1 where no frame answers. row: in its shard. status: (m,)
    uint8. unit: (m,) int64, index into units.
    """

    k: np.ndarray
    status: np.ndarray
    frame_index: np.ndarray
    pts: np.ndarray
    unit: np.ndarray
    row: np.ndarray
    units: tuple[str, ...]
    segments: tuple[Segment, ...]

    def find(self, k: np.ndarray) -> np.ndarray:
        """Where these requests are, (len(k),) int64; -1 for those that were not committed."""
        return find_sorted(k, self.k)


def answers_of(parts: Sequence[tuple[str, int, Segment]]) -> Answers:
    """parts: (unit, first row in its shard, segment) of one video."""
    columns = [_columns(number, first_row, segment) for number, (_, first_row, segment) in enumerate(parts)]
    joined = np.concatenate([np.zeros((6, 0), np.int64), *columns], axis=1)
    k, status, frame_index, pts, unit, row = joined[:, np.argsort(joined[0], kind="stable")]
    units, segments = tuple(unit for unit, _, _ in parts), tuple(segment for _, _, segment in parts)
    return Answers(k, status.astype(np.uint8), frame_index, pts, unit, row, units, segments)


def _columns(number: int, first_row: int, segment: Segment) -> np.ndarray:
    """(6, m) int64 of one segment, in the order of Answers."""
    has_row, missing = segment.request_row >= 0, np.full(len(segment.request_k), -1, np.int64)
    rows = segment.request_row[has_row]
    frame_index, pts, row = missing, missing.copy(), missing.copy()
    frame_index[has_row], pts[has_row], row[has_row] = segment.frame_index[rows], segment.pts[rows], rows + first_row
    unit = np.full(len(missing), number, np.int64)
    return np.stack([segment.request_k, segment.request_status.astype(np.int64), frame_index, pts, unit, row])


def find_sorted(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The place of each value in a sorted array, int64; -1 for values that are not in it."""
    if not len(among):
        return np.full(len(values), -1, np.int64)
    places = np.minimum(np.searchsorted(among, values), len(among) - 1)
    return np.where(among[places] == values, places, -1)


def groups_of(codes: np.ndarray) -> list[np.ndarray]:
    """The places of each value, one int64 array per value, in order of values."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(codes) else []
