"""Putting rows, as they come, into the units they belong to. Pure bookkeeping on arrays; commits nothing itself."""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from embedonce.cache.plan import PlannedSegment, PlannedVideo, Unit
from embedonce.cache.schema import NO_FRAME, REDACTED, FrameBatch, Segment, Status


@dataclass
class _Slot:
    """What has come in for one planned segment."""

    unit: str
    planned: PlannedSegment
    jpegs: list
    embeddings: list
    crop_crc32: list
    refused: np.ndarray  # (n,) bool: frames that are there and have another shape than the video's rows
    ended: bool = False  # nothing more will come
    dropped: bool = False  # the video is out


@dataclass
class _Places:
    """Where the rows of one video go: found among its slots without going through them."""

    stops: list[int] = field(default_factory=list)  # of each slot: the first row of the video beyond it
    passed: int = 0  # slots that rows have gone past

    def append(self, rows: int) -> None:
        self.stops.append((self.stops[-1] if self.stops else 0) + rows)

    def place_of(self, i: int) -> tuple[int, int]:
        """(position of the slot that has row i of the video, the row there). IndexError where there is none."""
        position = bisect.bisect_right(self.stops, i)
        if i < 0 or position == len(self.stops):
            raise IndexError(f"its video owes no row {i}")
        return position, i - (self.stops[position - 1] if position else 0)

    def pass_to(self, position: int) -> slice:
        """The slots before this position that were not passed before."""
        passed, self.passed = self.passed, max(self.passed, position)
        return slice(passed, position)


class ShardBuilder:
    """Collects rows of pending units; says which units are complete.

    A row of a video is named by its position in all that was asked of the video, over its pending units in order.
    """

    def __init__(self, units: tuple[Unit, ...], videos: dict[str, PlannedVideo], embedding_shape: tuple[int, int]):
        self._videos, self._embedding_shape = videos, embedding_shape
        self._units: dict[str, list[_Slot]] = {}
        self._by_video: dict[str, list[_Slot]] = {}
        self._places: dict[str, _Places] = {}
        self._came: dict[str, int] = {}
        self._open: dict[str, int] = {}  # unit -> how many of its slots wait for more
        self._complete: list[str] = []
        for unit in units:
            slots = [_slot(unit.name, segment) for segment in unit.segments]
            self._units[unit.name], self._open[unit.name] = slots, len(slots)
            self._complete += [] if slots else [unit.name]
            for slot in slots:
                self._by_video.setdefault(slot.planned.video_uid, []).append(slot)
                self._places.setdefault(slot.planned.video_uid, _Places()).append(_rows(slot.planned))

    @property
    def num_rows(self) -> int:
        return sum(_rows(slot.planned) for slots in self._by_video.values() for slot in slots)

    def wanted(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """video uid -> (frame_index, pts) of every row it still owes."""
        return {
            uid: (
                np.concatenate([slot.planned.frame_index for slot in slots]),
                np.concatenate([slot.planned.pts for slot in slots]),
            )
            for uid, slots in self._by_video.items()
        }

    def add(self, video_uid: str, i: int, jpeg: bytes, embeddings: np.ndarray, crop_crc32: np.ndarray) -> None:
        """Row i of a video: its JPEG, (1+K, D) float16 embeddings and the (1+K,) CRC-32 of what the teacher saw.

        Rows come in order, so a row says that what came before it is all there will be: units of a long video are
        complete, and can be committed and forgotten, long before the video ends.
        """
        self._came[video_uid] = self._came.get(video_uid, 0) + 1
        slots, places = self._by_video[video_uid], self._places[video_uid]
        position, row = places.place_of(i)
        slot = slots[position]
        slot.jpegs[row], slot.embeddings[row], slot.crop_crc32[row] = jpeg, embeddings, crop_crc32
        self._end(slots[places.pass_to(position)])
        if row == _rows(slot.planned) - 1:
            self._end([slot])
        elif slot.ended:  # its last row came before this one
            slot.ended = False
            self._open[slot.unit] += 1

    def refuse(self, video_uid: str, i: int) -> None:
        """Row i of a video is there, and has another shape than its other rows. Rows before it may still come."""
        self._came[video_uid] = self._came.get(video_uid, 0) + 1
        position, row = self._places[video_uid].place_of(i)
        self._by_video[video_uid][position].refused[row] = True

    def count(self, video_uid: str) -> int:
        """How many rows of a video have come in or were refused."""
        return self._came.get(video_uid, 0)

    def end(self, video_uid: str) -> None:
        """No more rows will come of this video; what is missing is corrupt."""
        self._end(self._by_video.pop(video_uid))

    def drop(self, video_uid: str) -> None:
        """The video is out: the units that still wait for it will be committed without it."""
        slots = self._by_video.pop(video_uid, ())
        for slot in slots:
            slot.dropped = slot.dropped or not slot.ended
        self._end(slots)

    def pop_complete(self) -> list[tuple[str, FrameBatch]]:
        """The units for which nothing more will come. They are forgotten here once taken."""
        complete = {name for name in self._complete if name in self._units and not self._open[name]}
        self._complete = []
        names = sorted(complete, key=lambda name: (len(name), name))
        return [(name, self._take(self._units.pop(name))) for name in names]

    def _end(self, slots: Iterable[_Slot]) -> None:
        """Nothing more will come for these."""
        for slot in slots:
            if slot.ended:
                continue
            slot.ended = True
            self._open[slot.unit] -= 1
            if not self._open[slot.unit]:
                self._complete.append(slot.unit)

    def _take(self, slots: list[_Slot]) -> FrameBatch:
        batch = self._batch(slots)
        for slot in slots:
            slot.jpegs, slot.embeddings, slot.crop_crc32 = [], [], []
        return batch

    def _batch(self, slots: list[_Slot]) -> FrameBatch:
        kept = [slot for slot in slots if not slot.dropped]
        jpegs, embeddings, crop_crc32 = (
            [value for slot in kept for value in getattr(slot, name) if value is not None]
            for name in ("jpegs", "embeddings", "crop_crc32")
        )
        shape = (len(jpegs), *self._embedding_shape)
        return FrameBatch(
            segments=tuple(self._segment(slot) for slot in kept),
            jpegs=tuple(jpegs),
            embeddings=np.array(embeddings, np.float16).reshape(shape),
            crop_crc32=np.array(crop_crc32, np.uint32).reshape(shape[:2]),
        )

    def _segment(self, slot: _Slot) -> Segment:
        planned, video = slot.planned, self._videos[slot.planned.video_uid]
        came = np.array([jpeg is not None for jpeg in slot.jpegs], bool)
        new_row = np.where(came, np.cumsum(came) - 1, -1)
        asked = planned.request_row
        row = np.full(len(asked), -1, np.int64)
        row[asked >= 0] = new_row[asked[asked >= 0]]
        status = np.where(row < 0, Status.CORRUPT, Status.OK)
        refused = np.zeros(len(asked), bool)
        refused[asked >= 0] = slot.refused[asked[asked >= 0]]
        status[refused & (row < 0)] = Status.RESHAPED
        status[asked == NO_FRAME], status[asked == REDACTED] = Status.MISSING, Status.REDACTED
        return Segment(
            video_uid=planned.video_uid,
            time_base=video.time_base,
            first_pts=video.first_pts,
            views=video.views,
            frame_index=planned.frame_index[came],
            pts=planned.pts[came],
            request_k=planned.request_k,
            request_status=status.astype(np.uint8),
            request_row=row,
            fingerprint=video.fingerprint,
        )


def _slot(unit: str, segment: PlannedSegment) -> _Slot:
    rows = _rows(segment)
    return _Slot(unit, segment, [None] * rows, [None] * rows, [None] * rows, np.zeros(rows, bool))


def _rows(segment: PlannedSegment) -> int:
    return len(segment.frame_index)
