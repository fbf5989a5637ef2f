"""Which embeddings of a cache to export: of one teacher and one view, with the labels of a label set if one is named.

Reads shards and knows nothing of file formats.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import Segment, TeacherIdentity
from embedonce.pipeline.console.next_commands import add_teacher_line
from embedonce.pipeline.embedding_files.row_labels import RowLabels, labels_of_rows
from embedonce.pipeline.errors import InputError


@dataclass(frozen=True)
class EmbeddedRows:
    """Consecutive rows of one video, in time order, which are in one shard.

    source: path of the video in its data folder, None if the plan does not have it. t_sec (n,) float64, pts and
    frame_index (n,) int64: of the frames. embeddings (n, D) float16 of unit length. labels: None without a label set.
    """

    video_uid: str
    source: str | None
    t_sec: np.ndarray
    pts: np.ndarray
    frame_index: np.ndarray
    embeddings: np.ndarray
    labels: RowLabels | None


class EmbeddingSelection:
    """The embeddings of one view by one teacher, and the labels of their rows.

    teacher: name of an added teacher; None or "first": the one that made the cache. label_set: None for no labels.
    InputError if there is no such view, or the teacher has not embedded all rows; TeacherError and LabelSetError if the
    cache has no such teacher or label set.
    """

    def __init__(
        self, reader: CacheReader, view: int = 0, teacher: str | None = None, label_set: str | None = None
    ) -> None:
        self._reader, self.view = reader, view
        self._added = None if teacher in (None, FIRST) else teacher
        if not 0 <= view <= reader.identity.num_views:
            raise InputError(
                f"view {view} does not exist: {reader.cache_dir} has views 0 to {reader.identity.num_views}"
            )
        self.label_set = None if label_set is None else reader.label_set(label_set)
        self.teacher = self._teacher_identity()
        self.video_uids = reader.video_uids
        self._sources = {video.uid: video.source for part in reader.plan() for video in part.videos}

    @property
    def num_rows(self) -> int:
        return self._reader.num_rows

    def num_rows_of(self, video_uid: str) -> int:
        return sum(segment.num_rows for _, _, segment in self._reader.segments_of(video_uid))

    def source_of(self, video_uid: str) -> str | None:
        """The path of a video in its data folder; None if the plan does not have it."""
        return self._sources.get(video_uid)

    def description(self) -> dict:
        """What the embeddings are, as JSON values: the teacher's identity, the view, how videos were sampled."""
        identity = self._reader.identity
        labels = self.label_set
        return {
            "teacher": dataclasses.asdict(self.teacher),
            "teacher_name_in_cache": self._added or FIRST,
            "view": self.view,
            "sampling": identity.sampling,
            "fps": identity.fps,
            "label_set": None if labels is None else {"name": labels.name, "classes": list(labels.classes)},
        }

    def rows(self) -> Iterator[EmbeddedRows]:
        """All rows: one video after another, each in time order. DamagedError if a shard is damaged."""
        clips = clips_by_video(self.label_set)
        for uid in self.video_uids:
            yield from self._rows_of(uid, clips.get(uid, []))

    def _rows_of(self, uid: str, clips: list[ClipLabel]) -> Iterator[EmbeddedRows]:
        parts = in_time_order(self._reader.segments_of(uid))
        labels = None
        if self.label_set is not None and parts:
            labels = labels_of_rows(parts, self._reader.timeline(uid), clips, self.label_set.classes)
        done = 0
        for unit, first, segment in parts:
            rows = slice(done, done + segment.num_rows)
            done = rows.stop
            embeddings = self._shard(unit).embeddings(first, first + segment.num_rows, self.view)
            columns = (segment.t_sec, segment.pts, segment.frame_index, embeddings)
            yield EmbeddedRows(uid, self.source_of(uid), *columns, labels and labels.part(rows))

    def _shard(self, unit: str):
        return self._reader.frames(unit) if self._added is None else self._reader.teachers.column(self._added, unit)

    def _teacher_identity(self) -> TeacherIdentity:
        if self._added is None:
            return self._reader.identity.teacher
        identity = self._reader.teachers.read(self._added).identity
        if lacking := len(self._reader.teachers.lacking(self._added)):
            raise InputError(
                f"teacher {self._added!r} has not embedded {lacking} of {len(self._reader.records)} shards yet; "
                f"{add_teacher_line(self._reader.cache_dir, self._added)}"
            )
        return identity


def in_time_order(parts: list[tuple[str, int, Segment]]) -> list[tuple[str, int, Segment]]:
    """The segments of one video that have rows, earliest first.

    They are not always in the order of their units: one that was written again after a removal has a later name.
    """
    return sorted((part for part in parts if part[2].num_rows), key=lambda part: int(part[2].frame_index[0]))


def clips_by_video(labels: LabelSet | None) -> dict[str, list[ClipLabel]]:
    """video uid -> its clips in a label set."""
    clips: dict[str, list[ClipLabel]] = defaultdict(list)
    for clip in labels.clips if labels is not None else ():
        clips[clip.video_uid].append(clip)
    return clips
