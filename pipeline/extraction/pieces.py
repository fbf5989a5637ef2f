"""Long videos in pieces that several processes decode at the same time: where to cut, and how their ends add up.

Pure arithmetic and bookkeeping. A video is always cut in the same way, however many processes there are, so that the
result does not depend on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.video.skipping import PackedPlan

PIECE_PACKETS = 3_000  # to decode: several seconds at 1080p, against tenths to open a file and to decode a group twice
MAX_PIECES = 16  # of one video: a damaged piece may have to decode everything before it as well
TOLERANCE = 0.25  # of a piece, for a better place to cut


@dataclass(frozen=True)
class Costs:
    """What it takes to decode the rows of s consecutive segments, each with rows, in packets.

    begins, ends: (s,) int64, packets to decode before the entry point of the segment's first row, and up to its last
    row. In a group of pictures that two segments share, the second one begins before the first one ends.
    """

    begins: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, plan: PackedPlan, stops: np.ndarray) -> "Costs":
        """stops: (s,) int64, increasing, the row after the last one of each segment. The plan has entry points."""
        points = plan.entry_points
        assert points is not None
        fed = np.append(0, np.cumsum(plan.unpacked().feed))
        starts = points.entries[points.stretches[np.append(0, stops[:-1])], 0]
        return cls(fed[starts], fed[np.maximum.accumulate(points.packets)[stops - 1] + 1])


def is_long(packets: float) -> bool:
    """Whether so many packets to decode are enough for two pieces."""
    return packets >= 2 * PIECE_PACKETS


def borders(costs: Costs) -> list[int]:
    """The segments with which pieces begin, the first one included, so that pieces cost about the same.

    Near an even cut, a border is preferred that makes two pieces decode fewer packets twice.
    """
    first, last = int(costs.begins[0]), int(costs.ends[-1])
    count = min(MAX_PIECES, (last - first) // PIECE_PACKETS)
    found = [0]
    for number in range(1, count):
        length = (last - first) / count
        border = _nearest(costs, first + number * length, TOLERANCE * length, found[-1] + 1)
        if border is not None:
            found.append(border)
    return found


def _nearest(costs: Costs, target: float, tolerance: float, earliest: int) -> int | None:
    """The best border from this one on; None if the one before is nearer to the target, or if there is none."""
    distance = np.abs(costs.ends[:-1] - target)  # of the borders behind segments 0, 1, ...
    if earliest > len(distance) or int(distance.argmin()) + 1 < earliest:
        return None
    allowed = np.flatnonzero(distance <= max(tolerance, distance.min()))
    allowed = allowed[allowed + 1 >= earliest]
    twice = costs.ends[allowed] - costs.begins[allowed + 1]
    return int(allowed[np.lexsort((distance[allowed], twice))[0]]) + 1


def cut(plan: PackedPlan | None, pts: np.ndarray, rows: Sequence[int]) -> list[int]:
    """The segments of a video with which its pieces begin; [0] if it is not cut.

    plan: which packets must be decoded, from the scan. pts: (n,) int64, the pending rows. rows: how many of them each
    segment has. Not cut are short videos, those that are decoded completely or whose reader cannot begin in the middle,
    and those of which this plan is not of all pending rows.
    """
    if plan is None or plan.entry_points is None or not np.array_equal(plan.entry_points.pts, pts):
        return [0]
    filled = np.flatnonzero(rows)
    if len(filled) < 2:
        return [0]
    found = borders(Costs.of(plan, np.cumsum(rows)[filled]))
    return [0, *filled[found[1:]].tolist()]


class PieceEnds:
    """Which pieces of one video have ended, and how: a video fails with the first of its pieces that fails."""

    def __init__(self, count: int):
        """count: of pieces."""
        self._count, self._waiting = count, set(range(count))
        self._failed: dict[int, str] = {}
        self._temporary: set[int] = set()
        self.complaints: dict[int, str | None] = {}  # piece without any decodable frame -> its decoder's message

    def done(self, piece: int) -> None:
        """A piece came to its end."""
        self._waiting.discard(piece)

    def failed(self, piece: int, reason: str, is_temporary: bool = False) -> None:
        """A piece failed."""
        self._waiting.discard(piece)
        self._failed[piece] = reason
        self._temporary |= {piece} if is_temporary else set()

    @property
    def has_failed(self) -> bool:
        """Whether any piece failed: pieces after it need not be begun."""
        return bool(self._failed)

    @property
    def failure(self) -> tuple[str, bool] | None:
        """(reason, whether it is temporary) of the first piece that fails; None while an earlier one may fail."""
        if not self._failed:
            return None
        first = min(self._failed)
        is_known = all(piece > first for piece in self._waiting)
        return (self._failed[first], first in self._temporary) if is_known else None

    @property
    def complete(self) -> list[int]:
        """The pieces that came to their end."""
        return [piece for piece in range(self._count) if piece not in self._waiting and piece not in self._failed]

    @property
    def are_all(self) -> bool:
        """Whether every piece has ended."""
        return not self._waiting

    @property
    def complaint(self) -> str | None:
        """The first message of the decoders of pieces without any decodable frame."""
        return next((text for _, text in sorted(self.complaints.items()) if text), None)
