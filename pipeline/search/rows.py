"""Which video and time each row of a search index is of, and which rows are in the clips of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embedonce.cache.labels import ClipLabel
from embedonce.cache.records import Record
from embedonce.cache.schema import TIME_TOLERANCE_SEC


@dataclass(frozen=True)
class RowTable:
    """N rows. uids: of the videos; video (N,) int32: numbers of them; t_sec (N,) float64: the frames' own times."""

    uids: tuple[str, ...]
    video: np.ndarray
    t_sec: np.ndarray

    @classmethod
    def of(cls, units: Sequence[str], records: Mapping[str, Record]) -> "RowTable":
        """The rows of these units, in this order."""
        segments = [segment for unit in units for segment in records[unit].segments]
        number_of = {uid: number for number, uid in enumerate(dict.fromkeys(s.video_uid for s in segments))}
        sizes = [segment.num_rows for segment in segments]
        video = np.repeat(np.array([number_of[s.video_uid] for s in segments], np.int32), sizes)
        return cls(tuple(number_of), video, np.concatenate([*(s.t_sec for s in segments), np.zeros(0)]))

    @cached_property
    def _in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) rows by video and time; (V + 1,) where each video begins."""
        order = np.lexsort((self.t_sec, self.video))
        return order, np.searchsorted(self.video[order], np.arange(len(self.uids) + 1))

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {uid: number for number, uid in enumerate(self.uids)}

    def of_video(self, uid: str) -> np.ndarray:
        """The rows of a video in order of time; empty if there are none."""
        number = self._number_of.get(uid)
        order, starts = self._in_order
        return order[:0] if number is None else order[starts[number] : starts[number + 1]]

    def in_clips(self, clips: Sequence[ClipLabel]) -> np.ndarray:
        """(N,) bool: the rows that lie in at least one of these clips."""
        inside = np.zeros(len(self.video), bool)
        for clip in clips:
            rows = self.of_video(clip.video_uid)
            bounds = np.array([clip.start_sec, clip.end_sec]) - TIME_TOLERANCE_SEC
            first, stop = np.searchsorted(self.t_sec[rows], bounds)
            inside[rows[first:stop]] = True
        return inside

    def near(self, uid: str, t_sec: float, gap: float) -> np.ndarray:
        """The rows of a video that are at most TIME_TOLERANCE_SEC away from a time, or less than a gap."""
        rows = self.of_video(uid)
        distance = np.abs(self.t_sec[rows] - t_sec)
        return rows[(distance < gap) | (distance <= TIME_TOLERANCE_SEC)]
