"""Collects decoded rows into the units (future shards) that they belong to. Bookkeeping on arrays; commits nothing."""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from embedonce.cache.plan import PlannedSegment, PlannedVideo, Unit
from embedonce.cache.schema import NO_FRAME, REDACTED, FrameBatch, Segment, Status


@dataclass
class _SegmentRows:
    """The rows received so far of one planned segment; None for those that have not come.

    reshaped: (n,) bool, frames whose shape differs from the one planned. is_ended: no more rows will come. is_dropped:
    the video is quarantined.
    """

    unit: str
    planned: PlannedSegment
    jpegs: list[bytes | None]
    embeddings: list[np.ndarray | None]
    crop_crc32: list[np.ndarray | None]
    reshaped: np.ndarray
    is_ended: bool = False
    is_dropped: bool = False

    @classmethod
    def empty(cls, unit: str, planned: PlannedSegment) -> "_SegmentRows":
        rows = len(planned.frame_index)
        return cls(unit, planned, [None] * rows, [None] * rows, [None] * rows, np.zeros(rows, bool))

    @property
    def num_rows(self) -> int:
        return len(self.planned.frame_index)

    def clear(self) -> None:
        self.jpegs, self.embeddings, self.crop_crc32 = [], [], []


@dataclass
class _VideoIndex:
    """Finds the segment of a row of one video without going through all its segments.

    stops: for each segment, the number of rows of the video up to its end. borders: the segments with which its pieces
    begin. passed: of each piece, the first segment that no row has gone past.
    """

    stops: list[int] = field(default_factory=list)
    borders: list[int] = field(default_factory=lambda: [0])
    passed: list[int] = field(default_factory=lambda: [0])

    def append(self, rows: int) -> None:
        self.stops.append((self.stops[-1] if self.stops else 0) + rows)

    def locate(self, i: int) -> tuple[int, int]:
        """(position of the segment that contains row i of the video, row in that segment). IndexError if none does."""
        position = bisect.bisect_right(self.stops, i)
        if i < 0 or position == len(self.stops):
            raise IndexError(f"row {i} is not pending in its video")
        return position, i - (self.stops[position - 1] if position else 0)

    def pass_to(self, position: int) -> slice:
        """The segments of a piece before this position in it that were not passed before."""
        piece = bisect.bisect_right(self.borders, position) - 1
        passed, self.passed[piece] = self.passed[piece], max(self.passed[piece], position)
        return slice(passed, position)

    def piece(self, number: int) -> slice:
        """The segments of a piece."""
        return slice(self.borders[number], [*self.borders, len(self.stops)][number + 1])


class ShardBuilder:
    """Collects the rows of pending units, and hands out the units that are complete.

    A row of a video is identified by its position among all pending rows of the video, over its units in order. Rows
    come in order, in each piece of a video that is cut into pieces.
    """

    def __init__(self, units: Iterable[Unit], videos: dict[str, PlannedVideo], embedding_shape: tuple[int, int]):
        """embedding_shape: (1+K, D) of a row."""
        self._videos, self._embedding_shape = videos, embedding_shape
        self._units: dict[str, list[_SegmentRows]] = {}
        self._by_video: dict[str, list[_SegmentRows]] = {}
        self._indexes: dict[str, _VideoIndex] = {}
        self._num_received: dict[str, int] = {}
        self._num_open: dict[str, int] = {}  # unit -> how many of its segments wait for rows
        self._complete: list[str] = []
        self.add_units(units)

    def add_units(self, units: Iterable[Unit]) -> None:
        """Collect these units, too. ValueError if one continues a video that earlier units have."""
        earlier = set(self._indexes)
        for unit in units:
            if begun := {planned.video_uid for planned in unit.segments} & earlier:
                raise ValueError(f"unit {unit.name} continues videos that are being extracted: {sorted(begun)}")
            segments = [_SegmentRows.empty(unit.name, planned) for planned in unit.segments]
            self._units[unit.name], self._num_open[unit.name] = segments, len(segments)
            self._complete += [] if segments else [unit.name]
            for segment in segments:
                self._by_video.setdefault(segment.planned.video_uid, []).append(segment)
                self._indexes.setdefault(segment.planned.video_uid, _VideoIndex()).append(segment.num_rows)

    def pending_frames(self, uids: Iterable[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """uid -> (frame_index, pts), both (n,) int64, of every pending row of these videos."""
        return {
            uid: (
                np.concatenate([segment.planned.frame_index for segment in self._by_video[uid]]),
                np.concatenate([segment.planned.pts for segment in self._by_video[uid]]),
            )
            for uid in uids
        }

    def segments(self, video_uid: str) -> list[tuple[str, int]]:
        """(unit, number of rows) of each segment of a video, in order."""
        return [(segment.unit, segment.num_rows) for segment in self._by_video[video_uid]]

    def cut(self, video_uid: str, borders: list[int]) -> None:
        """Take the rows of a video in pieces, which begin with these segments, before any has come."""
        self._indexes[video_uid].borders, self._indexes[video_uid].passed = borders, list(borders)

    def add(self, video_uid: str, i: int, jpeg: bytes, embeddings: np.ndarray, crop_crc32: np.ndarray) -> None:
        """Add row i of a video: its JPEG, (1+K, D) float16 embeddings and the (1+K,) CRC-32 of the teacher crops.

        No row of its piece before this one can still come: units of a long video are complete, and can be committed
        and forgotten, long before the video ends.
        """
        self._num_received[video_uid] = self._num_received.get(video_uid, 0) + 1
        segments, index = self._by_video[video_uid], self._indexes[video_uid]
        position, row = index.locate(i)
        segment = segments[position]
        segment.jpegs[row], segment.embeddings[row], segment.crop_crc32[row] = jpeg, embeddings, crop_crc32
        self._end(segments[index.pass_to(position)])
        if row == segment.num_rows - 1:
            self._end([segment])
        elif segment.is_ended:  # its last row came before this one
            segment.is_ended = False
            self._num_open[segment.unit] += 1

    def refuse(self, video_uid: str, i: int) -> None:
        """Row i of a video was decoded with another shape than planned. Rows before it may still come."""
        self._num_received[video_uid] = self._num_received.get(video_uid, 0) + 1
        position, row = self._indexes[video_uid].locate(i)
        self._by_video[video_uid][position].reshaped[row] = True

    def count(self, video_uid: str) -> int:
        """How many rows of a video were added or refused."""
        return self._num_received.get(video_uid, 0)

    def end_piece(self, video_uid: str, piece: int) -> None:
        """No more rows of this piece of a video will come; the missing ones are corrupt."""
        self._end(self._by_video[video_uid][self._indexes[video_uid].piece(piece)])

    def end(self, video_uid: str) -> None:
        """No more rows of this video will come; the missing ones are corrupt."""
        self._end(self._by_video.pop(video_uid))

    def drop(self, video_uid: str) -> None:
        """Leave a quarantined video out of the units that still wait for it."""
        segments = self._by_video.pop(video_uid, [])
        for segment in segments:
            segment.is_dropped = segment.is_dropped or not segment.is_ended
        self._end(segments)

    def pop_complete(self) -> list[tuple[str, FrameBatch]]:
        """(unit, batch) of the units that wait for no more rows. They are forgotten here."""
        complete = {name for name in self._complete if name in self._units and not self._num_open[name]}
        self._complete = []
        names = sorted(complete, key=lambda name: (len(name), name))
        return [(name, self._pop_batch(name)) for name in names]

    def _end(self, segments: Iterable[_SegmentRows]) -> None:
        """No more rows of these segments will come."""
        for segment in segments:
            if segment.is_ended:
                continue
            segment.is_ended = True
            self._num_open[segment.unit] -= 1
            if not self._num_open[segment.unit]:
                self._complete.append(segment.unit)

    def _pop_batch(self, unit: str) -> FrameBatch:
        segments = self._units.pop(unit)
        batch = self._batch([segment for segment in segments if not segment.is_dropped])
        for segment in segments:
            segment.clear()
        return batch

    def _batch(self, segments: list[_SegmentRows]) -> FrameBatch:
        jpegs = [jpeg for segment in segments for jpeg in segment.jpegs if jpeg is not None]
        embeddings = [array for segment in segments for array in segment.embeddings if array is not None]
        crop_crc32 = [array for segment in segments for array in segment.crop_crc32 if array is not None]
        shape = (len(jpegs), *self._embedding_shape)
        return FrameBatch(
            segments=tuple(self._segment(segment) for segment in segments),
            jpegs=tuple(jpegs),
            embeddings=np.array(embeddings, np.float16).reshape(shape),
            crop_crc32=np.array(crop_crc32, np.uint32).reshape(shape[:2]),
        )

    def _segment(self, segment: _SegmentRows) -> Segment:
        planned, video = segment.planned, self._videos[segment.planned.video_uid]
        received = np.array([jpeg is not None for jpeg in segment.jpegs], bool)
        new_row = np.where(received, np.cumsum(received) - 1, -1)
        planned_row = planned.request_row
        has_frame = planned_row >= 0
        row = np.full(len(planned_row), -1, np.int64)
        row[has_frame] = new_row[planned_row[has_frame]]
        reshaped = np.zeros(len(planned_row), bool)
        reshaped[has_frame] = segment.reshaped[planned_row[has_frame]]
        status = np.where(row < 0, Status.CORRUPT, Status.OK)
        status[reshaped & (row < 0)] = Status.RESHAPED
        status[planned_row == NO_FRAME] = Status.MISSING
        status[planned_row == REDACTED] = Status.REDACTED
        return Segment(
            video_uid=planned.video_uid,
            time_base=video.time_base,
            first_pts=video.first_pts,
            views=video.views,
            frame_index=planned.frame_index[received],
            pts=planned.pts[received],
            request_k=planned.request_k,
            request_status=status.astype(np.uint8),
            request_row=row,
            fingerprint=video.fingerprint,
        )
