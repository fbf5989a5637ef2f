"""Embeddings of a cache as arrays: of a time range of one video, of all videos, or of the clips of a label set."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.backends.shard_format import Shard
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.timelines import VideoTimeline

DTYPES = (np.dtype(np.float32), np.dtype(np.float16))


@dataclass(frozen=True)
class Embeddings:
    """N embeddings of one video, in order of time.

    t_sec: (N,) float64, seconds on the video's timeline. embeddings: (N, D) float32 of unit length, or float16 as
    stored.
    """

    t_sec: np.ndarray
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.t_sec)


@dataclass(frozen=True)
class EmbeddingTable:
    """N embeddings of several videos. A row is identified by its video and time.

    video: (N,) text, uids. t_sec: (N,) float64 seconds. embeddings: (N, D) as in Embeddings. For a label set also
    clip: (N,) int64, the row's clip, as an index into Cache.clips(label_set), and label: (N,) int64, its class, as an
    index into Cache.classes(label_set), -1 for clips that have none, or several; otherwise both are None.
    """

    video: np.ndarray
    t_sec: np.ndarray
    embeddings: np.ndarray
    clip: np.ndarray | None = None
    label: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.t_sec)


@dataclass(frozen=True)
class Column:
    """Which embeddings of a cache are read: of a teacher, in a view, as what kind of number."""

    reader: CacheReader
    teacher: str
    view: int
    dtype: np.dtype
    width: int

    @classmethod
    def of(cls, reader: CacheReader, view: int, teacher: str | None, dtype: npt.DTypeLike) -> "Column":
        """TeacherError for an unknown teacher, ValueError for a view or a kind of number that there is not."""
        name = FIRST if teacher is None else teacher
        identity = reader.identity.teacher if name == FIRST else reader.teachers.read(name).identity
        check_view(reader, view)
        if np.dtype(dtype) not in DTYPES:
            raise ValueError(f"dtype must be float32 or float16, got {np.dtype(dtype).name}")
        return cls(reader, name, int(view), np.dtype(dtype), identity.embed_dim)

    def read(self, timeline: VideoTimeline, at: slice) -> np.ndarray:
        """(n, D) embeddings at these positions of a timeline. DamagedError if they cannot be read."""
        units, rows = timeline.unit[at], timeline.row[at]
        values = np.empty((len(rows), self.width), self.dtype)
        for run in _runs(units):
            first, stop = int(rows[run].min()), int(rows[run].max()) + 1
            values[run] = self._shard(units[run.start]).embeddings(first, stop, self.view)[rows[run] - first]
        return _unit_length(values) if self.dtype == np.float32 else values

    def prefetch(self, units: Iterable[str]) -> None:
        """Begin to read these units, where the cache is far away."""
        if self.teacher == FIRST:
            self.reader.prefetch(units)
        else:
            self.reader.teachers.prefetch(self.teacher, units)

    def _shard(self, unit: str) -> Shard:
        if self.teacher == FIRST:
            return self.reader.frames(unit)
        return self.reader.teachers.column(self.teacher, unit)


def check_view(reader: CacheReader, view: int) -> None:
    """ValueError if the cache has no such view."""
    last = reader.identity.num_views
    if isinstance(view, bool) or not isinstance(view, (int, np.integer)) or not 0 <= view <= last:
        raise ValueError(f"view must be {f'0 to {last}' if last else '0, the only one of this cache'}, got {view!r}")


def positions(timeline: VideoTimeline, t0: float | None, t1: float | None) -> slice:
    """The positions of a timeline with t0 <= t_sec < t1. ValueError if t0 is after t1, or one of them no time."""
    for name, value in (("t0", t0), ("t1", t1)):
        is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if value is not None and (not is_number or math.isnan(value)):
            raise ValueError(f"{name} must be a time in seconds, got {value!r}")
    start, end = (-math.inf if t0 is None else t0), (math.inf if t1 is None else t1)
    if start > end:
        raise ValueError(f"t0 must not be after t1, got t0={t0} and t1={t1}")
    return timeline.window(start, end)


def all_rows(column: Column) -> EmbeddingTable:
    """The embeddings of all videos, one video after another, each in order of time."""
    timelines = [column.reader.timeline(uid) for uid in column.reader.video_uids]
    return _table(column, [(timeline, slice(0, len(timeline.t_sec))) for timeline in timelines])


def rows_of_clips(column: Column, labels: LabelSet) -> EmbeddingTable:
    """The embeddings of all clips of a label set; a frame in several clips is in several rows."""
    reader, parts, numbers = column.reader, [], []
    for number, clip in enumerate(labels.clips):
        if reader.shows(clip):
            timeline = reader.timeline(clip.video_uid)
            parts.append((timeline, timeline.window(clip.start_sec, clip.end_sec)))
            numbers.append(number)
    lengths = [at.stop - at.start for _, at in parts]
    table = _table(column, parts)
    clip_of_row = np.repeat(np.array(numbers, np.int64), lengths)
    label_of_clip = np.array([clip.label for clip in labels.clips], np.int64)
    return EmbeddingTable(table.video, table.t_sec, table.embeddings, clip_of_row, label_of_clip[clip_of_row])


def _table(column: Column, parts: list[tuple[VideoTimeline, slice]]) -> EmbeddingTable:
    lengths = [at.stop - at.start for _, at in parts]
    values = np.empty((sum(lengths), column.width), column.dtype)
    column.prefetch(dict.fromkeys(unit for timeline, at in parts for unit in timeline.unit[at].tolist()))
    row = 0
    for (timeline, at), length in zip(parts, lengths, strict=True):
        values[row : row + length] = column.read(timeline, at)
        row += length
    uids = np.repeat(np.array([timeline.video_uid for timeline, _ in parts], np.str_), lengths)
    t_sec = np.concatenate([np.zeros(0), *(timeline.t_sec[at] for timeline, at in parts)])
    return EmbeddingTable(uids, t_sec, values)


def _runs(units: np.ndarray) -> Iterator[slice]:
    """The runs of equal neighbors."""
    if len(units):
        bounds = [0, *(1 + np.flatnonzero(units[1:] != units[:-1])).tolist(), len(units)]
        yield from (slice(start, stop) for start, stop in pairwise(bounds))


def _unit_length(vectors: np.ndarray) -> np.ndarray:
    """Stored vectors have unit length up to the rounding of float16."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
