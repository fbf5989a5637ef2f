"""What searches find: moments of videos, and pairs of frames. Close frames of a video are one moment."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TIME_TOLERANCE_SEC
from embedonce.pipeline.search.brute_force import Candidates
from embedonce.pipeline.search.rows import RowTable


@dataclass(frozen=True)
class Frame:
    """A stored frame. source: the video's path in the data folder. label: classes of its clips; None if it has none."""

    video_uid: str
    source: str
    t_sec: float
    label: str | None
    reader: CacheReader = field(repr=False, compare=False)
    unit: str = field(repr=False, compare=False)
    row: int = field(repr=False, compare=False)

    @property
    def thumbnail(self) -> bytes:
        """The stored frame as a JPEG, read when it is asked for. DamagedError if it cannot be read."""
        return self.reader.frames(self.unit).jpeg(self.row)

    def as_dict(self) -> dict:
        """JSON values."""
        return {"video_uid": self.video_uid, "source": self.source, "t_sec": self.t_sec, "label": self.label}


@dataclass(frozen=True)
class Moment(Frame):
    """A frame that a search has found. score: its cosine with the query; that of the best frame of the moment."""

    score: float

    def as_dict(self) -> dict:
        return {"score": self.score, **super().as_dict()}


@dataclass(frozen=True)
class FramePair:
    """Two frames of different videos, and the cosine of their embeddings."""

    first: Frame
    second: Frame
    cosine: float

    def as_dict(self) -> dict:
        """JSON values."""
        return {"cosine": self.cosine, "first": self.first.as_dict(), "second": self.second.as_dict()}


@dataclass(frozen=True)
class Duplicates:
    """Near-duplicates: of each two videos the best pair. outliers: a frame, and the nearest one of another video."""

    pairs: tuple[FramePair, ...]
    outliers: tuple[FramePair, ...]


class Frames:
    """Describes the rows of a search index as frames."""

    def __init__(self, reader: CacheReader, table: RowTable, labels: LabelSet | None):
        self._reader, self._table = reader, table
        self._labels = labels
        self._source_of = {video.uid: video.source for part in reader.plan() for video in part.videos}

    @cached_property
    def _clips_of(self) -> dict[str, list[ClipLabel]]:
        """video uid -> its clips in the label set."""
        clips: dict[str, list[ClipLabel]] = {}
        for clip in self._labels.clips if self._labels else ():
            clips.setdefault(clip.video_uid, []).append(clip)
        return clips

    def about(self, row: int, unit: str, row_in_unit: int) -> dict:
        """The fields of the Frame of a row of the index."""
        uid, t_sec = self._table.uids[self._table.video[row]], float(self._table.t_sec[row])
        return {
            "video_uid": uid,
            "source": self._source_of.get(uid, uid),
            "t_sec": t_sec,
            "label": self._label(uid, t_sec),
            "reader": self._reader,
            "unit": unit,
            "row": row_in_unit,
        }

    def _label(self, uid: str, t_sec: float) -> str | None:
        if self._labels is None:
            return None
        t_sec += TIME_TOLERANCE_SEC
        clips = [clip for clip in self._clips_of.get(uid, ()) if clip.start_sec <= t_sec < clip.end_sec]
        names = dict.fromkeys(self._labels.classes[number] for clip in clips for number in clip.all_labels)
        return ", ".join(names) or None


def best_moments(found: Iterable[Candidates], table: RowTable, top: int, min_gap: float) -> list[tuple[int, float]]:
    """(row, score) of the best moments, best first.

    A row is a moment of its own unless a better one of the same video is less than min_gap seconds away. found: the
    best rows, each time more of them, as from brute_force.ranked(); no more are taken than are needed.
    """
    moments: list[tuple[int, float]] = []
    for candidates in found:
        certain = candidates.scores > candidates.limit
        moments = list(_separate(candidates.rows[certain], candidates.scores[certain], table, top, min_gap))
        if len(moments) == top:
            break
    return moments


def _separate(
    rows: np.ndarray, scores: np.ndarray, table: RowTable, top: int, min_gap: float
) -> Iterator[tuple[int, float]]:
    """The first `top` rows that are not too close to one before them."""
    taken: dict[int, list[float]] = {}
    left = top
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        times, t_sec = taken.setdefault(int(table.video[row]), []), float(table.t_sec[row])
        if any(abs(t_sec - other) < min_gap for other in times):
            continue
        times.append(t_sec)
        yield row, score
        left -= 1
        if not left:
            return


def format_time(t_sec: float) -> str:
    """h:mm:ss.s"""
    tenths = round(abs(t_sec) * 10)
    minutes, tenths = divmod(tenths, 600)
    sign = "-" if t_sec < 0 and (minutes or tenths) else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02d}:{tenths // 10:02d}.{tenths % 10}"


def pair_lines(pairs: Sequence[FramePair]) -> list[str]:
    """A table: cosine, and time and video of both frames."""
    head = ("cosine", "time", "video", "time", "video")
    rows = [(f"{pair.cosine:.4f}", *_place(pair.first), *_place(pair.second)) for pair in pairs]
    return _aligned([head, *rows], "rrlrl") if rows else ["None."]


def _place(frame: Frame) -> tuple[str, str]:
    return format_time(frame.t_sec), frame.source


def _aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """The rows with columns of equal width. sides: l or r of each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        ).rstrip()
        for row in rows
    ]


def table_lines(moments: Sequence[Moment]) -> list[str]:
    """A table: rank, score, time, video and label."""
    head = ("rank", "score", "time", "video", "label")
    rows = [
        (str(rank), f"{moment.score:.4f}", *_place(moment), moment.label or "")
        for rank, moment in enumerate(moments, 1)
    ]
    return _aligned([head, *rows], "rrrll") if rows else ["There is no other moment."]
