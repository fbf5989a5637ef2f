"""A cache as users of the library see it: videos, clips, embeddings, frames, and data sets for training."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.timelines import VideoTimeline
from embedonce.pipeline.api.contents import Clip, Video, clips_of, list_videos, named_clip, uid_in
from embedonce.pipeline.api.embeddings import (
    Column,
    Embeddings,
    EmbeddingTable,
    all_rows,
    check_view,
    positions,
    rows_of_clips,
)
from embedonce.pipeline.api.keywords import local_path
from embedonce.pipeline.api.python_terms import in_python_terms
from embedonce.pipeline.embedding_files.export import write_parquet
from embedonce.pipeline.frames.canonical_frame import decode_jpeg
from embedonce.pipeline.settings.options import Option

if TYPE_CHECKING:
    from embedonce.pipeline.api.datasets import ClipStream
    from embedonce.pipeline.clips.dataset import ClipDataset

_PATH = Option(name="path", aliases=("--output",))  # as the errors of exports call it


class Cache:
    """A cache that is open for reading. Iterating over it gives its videos, and len() their number.

    It may be pickled, and used as a context manager, which closes its files. reader: for what this class leaves out.
    """

    def __init__(self, reader: CacheReader):
        """reader: of the cache. open_cache() makes it from a path."""
        if not isinstance(reader, CacheReader):
            raise TypeError(f"a cache is opened by its path with open_cache({reader!r}), not with Cache()")
        self.reader = reader

    if not TYPE_CHECKING:  # to type checkers, other attributes are errors

        def __getattr__(self, name: str) -> object:
            hint = f"; its reader has: cache.reader.{name}" if hasattr(CacheReader, name) and name[0] != "_" else ""
            raise AttributeError(f"'Cache' object has no attribute {name!r}{hint}", name=name, obj=self)

    def __enter__(self) -> "Cache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.video_uids)

    def __bool__(self) -> bool:
        return True  # although it may have no videos

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos())

    def __contains__(self, video: object) -> bool:
        return (video.uid if isinstance(video, Video) else video) in self.video_uids

    def __repr__(self) -> str:
        names, teacher = self.label_sets(), self.identity.teacher
        labels = ", ".join(names) or "none"
        return (
            f"Cache({str(self.path)!r}: {len(self)} videos, {self.num_frames} frames, {teacher.embed_dim}-d embeddings "
            f"of {teacher.name}, label sets: {labels})"
        )

    def close(self) -> None:
        """Close its files. It may be used again, which opens them again."""
        self.reader.close()

    @property
    def path(self) -> Path | str:
        """The folder of the cache, or its URL."""
        return self.reader.cache_dir

    @property
    def identity(self) -> CacheIdentity:
        """What all its rows have in common: the teacher, the frame rate, the stored views and more."""
        return self.reader.identity

    @property
    def num_frames(self) -> int:
        """Stored frames. Times that show the same frame share one."""
        return self.reader.num_rows

    # -- videos and clips ----------------------------------------------------------------------------------------------

    @property
    def video_uids(self) -> tuple[str, ...]:
        """The uids of its videos."""
        return self.reader.video_uids

    def videos(self) -> tuple[Video, ...]:
        """Its videos."""
        return self._videos

    @cached_property
    def _videos(self) -> tuple[Video, ...]:
        return tuple(list_videos(self.reader))

    def video(self, uid: str) -> Video:
        """The video of this uid. VideoError (a LookupError) if there is none."""
        found = uid_in(self.reader, uid)
        return next(video for video in self.videos() if video.uid == found)

    def label_sets(self) -> tuple[str, ...]:
        """The names of its label sets."""
        return self.reader.label_sets()

    def label_set(self, name: str | None = None) -> LabelSet:
        """Everything about a label set. name: None for the only one. LabelSetError (a LookupError) if there is none."""
        if name is not None and not isinstance(name, str):
            raise TypeError(f"label_set must be a name, got {name!r}")
        with in_python_terms():
            return self.reader.label_set(name)

    def classes(self, label_set: str | None = None) -> tuple[str, ...]:
        """The names of the classes of a label set, in the order of its logits."""
        return self.label_set(label_set).classes

    def clips(self, label_set: str | None = None, split: str | None = None) -> tuple[Clip, ...]:
        """The clips of a label set, or those in one split. ValueError if no clip is in that split."""
        labels = self.label_set(label_set)
        return tuple(named_clip(clip, labels.classes) for clip in clips_of(labels, split))

    def teachers(self) -> tuple[str, ...]:
        """The names of its teachers: "first", which made the cache, and those that were added."""
        return (FIRST, *self.reader.teachers.names())

    # -- embeddings and frames -----------------------------------------------------------------------------------------

    def embeddings(
        self,
        video: Video | str,
        t0: float | None = None,
        t1: float | None = None,
        view: int = 0,
        teacher: str | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> Embeddings:
        """The embeddings of a video at t0 <= t_sec < t1, by default at all its times.

        view: 0 for the evaluation crop, 1 and more for random crops. teacher: one of teachers(). dtype: float32, or
        float16 as stored. Errors: VideoError and TeacherError (LookupErrors) for what is not there, ValueError for
        t0 > t1 and views that are not stored, DamagedError.
        """
        timeline = self._timeline(video)
        at = positions(timeline, t0, t1)
        with in_python_terms():
            values = Column.of(self.reader, view, teacher, dtype).read(timeline, at)
        return Embeddings(timeline.t_sec[at].copy(), values)

    def frames(
        self, video: Video | str, t0: float | None = None, t1: float | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """The stored frames of a video at t0 <= t_sec < t1: (t_sec, (H, W, 3) uint8 RGB), in order of time.

        They are upright, with square pixels, and as large as they are stored. Errors as of embeddings().
        """
        timeline = self._timeline(video)
        at = positions(timeline, t0, t1)
        return self._decoded(timeline, at)

    def _decoded(self, timeline: VideoTimeline, at: slice) -> Iterator[tuple[float, np.ndarray]]:
        short_side = self.identity.canonical_short_side
        for t_sec, unit, row in zip(timeline.t_sec[at].tolist(), timeline.unit[at], timeline.row[at], strict=True):
            yield t_sec, np.array(decode_jpeg(self.reader.frames(unit).jpeg(int(row)), short_side))

    def _timeline(self, video: Video | str) -> VideoTimeline:
        return self.reader.timeline(uid_in(self.reader, video))

    def to_numpy(
        self,
        view: int = 0,
        teacher: str | None = None,
        label_set: str | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> EmbeddingTable:
        """The embeddings of all videos in one table, one video after another, each in order of time.

        With a label set: those of its clips, one clip after another, with clips and labels. Errors as of embeddings(),
        and LabelSetError.
        """
        with in_python_terms():
            column = Column.of(self.reader, view, teacher, dtype)
            return all_rows(column) if label_set is None else rows_of_clips(column, self.label_set(label_set))

    def to_parquet(
        self,
        path: Path | str,
        view: int = 0,
        teacher: str | None = None,
        label_set: str | None = None,
        overwrite: bool = False,
    ) -> int:
        """Write the embeddings of all stored frames to a Parquet file, and return the number of its rows.

        label_set: adds the labels and the split of each frame. overwrite: replace an earlier export. InputError (a
        ValueError) if the file exists, or there are no such embeddings; needs pyarrow.
        """
        with in_python_terms([_PATH]):
            check_view(self.reader, view)
            place = local_path("path", path)
            return write_parquet(self.reader, place, view, teacher, label_set, overwrite=overwrite)

    # -- data sets of torch --------------------------------------------------------------------------------------------

    def torch_dataset(
        self,
        label_set: str | None = None,
        split: str | None = None,
        view: int = 0,
        frames: int = 8,
        resolution: int | None = None,
        random: bool = False,
        seed: int = 0,
        teacher: str | None = None,
    ) -> "ClipDataset":
        """The clips of a label set as a map-style data set of torch; see ClipDataset for its items.

        frames: per clip; shorter clips are padded. resolution: side of the images in pixels; None: items have no
        images, and are read much faster. random: other frames and views in each epoch, of which the attribute `epoch`
        is the number; else the middles of equal segments of the clip, in `view`. teacher: whose embeddings items have.
        Errors as of embeddings() and clips().
        """
        from embedonce.pipeline.api import datasets

        with in_python_terms():
            chosen = datasets.Choice(label_set, split, view, frames, resolution, random, seed, teacher)
            return datasets.clip_dataset(self.reader, chosen)

    def torch_iterable(
        self,
        label_set: str | None = None,
        split: str | None = None,
        view: int = 0,
        frames: int = 8,
        resolution: int | None = None,
        random: bool = False,
        seed: int = 0,
        teacher: str | None = None,
        shuffle: bool = False,
    ) -> "ClipStream":
        """The same clips as an iterable data set of torch, which reads one shard after another.

        Each loader process, of each process of torch.distributed, gets its own part of the clips. shuffle: shards in
        random order, and clips mixed among a few of them, other ones in each epoch. Arguments and errors as of
        torch_dataset().
        """
        from embedonce.pipeline.api import datasets

        dataset = self.torch_dataset(label_set, split, view, frames, resolution, random, seed, teacher)
        return datasets.ClipStream(dataset, shuffle)
