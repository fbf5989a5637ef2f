"""Reading a cache: timelines of videos, random access to verified shards, and label sets."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from embedonce.cache import documents
from embedonce.cache.added_teachers.reader import AddedTeacherReader
from embedonce.cache.backends.shard_format import Shard
from embedonce.cache.catalog import Catalog
from embedonce.cache.computed_logits import ComputedLogits, compute_logits
from embedonce.cache.errors import DamagedError
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.ledger import Ledger
from embedonce.cache.plan import PlanPart
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.records import Record, current
from embedonce.cache.schema import CacheIdentity, FrameBatch, Segment, Status
from embedonce.cache.stores.registry import Location, address_of, open_store
from embedonce.cache.text_store import TextStore
from embedonce.cache.timelines import VideoTimeline, build_timeline
from embedonce.cache.withdrawn import WithdrawnVideos, withdrawn_videos


class CacheReader:
    """Read access to one cache. May be pickled; opens shards on first use, and verifies each the first time.

    Which shards were verified is remembered in memory, unless a ledger is shared. teachers: the embeddings of those
    that were added to the first one.
    """

    def __init__(
        self,
        where: Location,
        identity: CacheIdentity,
        records: dict[str, Record] | None = None,
        catalog: Catalog | None = None,
    ):
        """records: used instead of the stored ones. catalog: of this cache, to share with others in this process."""
        self.store = open_store(where)
        self.identity = identity
        self.catalog = Catalog(Layout(self.store), identity) if catalog is None else catalog
        self.catalog.layout.refuse_links()
        self.records = current(self.catalog.frames.values()) if records is None else records
        self._labels, self._shards = self.catalog.labels, self.catalog.shards
        self.teachers = AddedTeacherReader(self.catalog.teachers, self._shards, self.records, identity)
        self._num_classes: dict[str, int] = {}
        self._timelines: dict[str, VideoTimeline] = {}

    @property
    def cache_dir(self) -> Path | str:
        """The folder or URL of the cache."""
        return address_of(self.store)

    def close(self) -> None:
        """Close all shards. Used again they are opened again, and verified again unless a shared ledger has them."""
        self._shards.close()

    def share_ledger(self, ledger: Ledger) -> None:
        """Trust what this ledger says of shards, and tell it which ones this reader has verified."""
        self._shards.ledger = ledger

    def prepare_labels(self, labels: LabelSet) -> None:
        """Read what else is needed to read this label set's logits, so that copies in other processes have it."""
        self._num_classes[labels.name] = len(labels.classes)
        if labels.has_logits and self._computing_head(labels.name) is None:
            self.label_records(labels.name)

    # -- videos and the plan -------------------------------------------------------------------------------------------

    @cached_property
    def _segments(self) -> dict[str, list[tuple[str, int, Segment]]]:
        """video uid -> (unit, first row in the shard, Segment), in order of units."""
        segments: dict[str, list[tuple[str, int, Segment]]] = {}
        for unit, record in sorted(self.records.items()):
            first_row = 0
            for segment in record.segments:
                segments.setdefault(segment.video_uid, []).append((unit, first_row, segment))
                first_row += segment.num_rows
        return segments

    @property
    def video_uids(self) -> tuple[str, ...]:
        """Videos that have committed segments."""
        return tuple(self._segments)

    def plan(self) -> list[PlanPart]:
        """All parts of the plan, in order, whether or not any of their units are committed."""
        return self.catalog.plan()

    def planned_uids(self) -> tuple[str, ...]:
        """Planned videos that did not replace another one: their uids follow from their paths."""
        return tuple(video.uid for part in self.plan() for video in part.videos if not video.replaces)

    def quarantined(self) -> dict[str, QuarantinedVideo]:
        """name -> quarantined video."""
        return self.catalog.quarantined()

    def withdrawn(self) -> WithdrawnVideos:
        """The videos that were removed for good."""
        return withdrawn_videos(self.catalog.layout)

    def segments_of(self, video_uid: str) -> list[tuple[str, int, Segment]]:
        """(unit, first row in its shard, segment) of one video. KeyError if the cache has none."""
        return self._segments[video_uid]

    def content_of(self, video_uid: str) -> str | None:
        """The fingerprint of the file that a video's rows came from; None if there are no rows or it is unknown."""
        segments = self._segments.get(video_uid)
        return segments[0][2].fingerprint or None if segments else None

    def timeline(self, video_uid: str) -> VideoTimeline:
        """What a video shows at each requested time. KeyError if the cache has no segment of it."""
        if video_uid not in self._timelines:
            self._timelines[video_uid] = build_timeline(self._segments[video_uid], self.identity)
        return self._timelines[video_uid]

    def shows(self, clip: ClipLabel) -> bool:
        """Whether a clip has at least one frame in the cache."""
        if clip.video_uid not in self._segments:
            return False
        window = self.timeline(clip.video_uid).window(clip.start_sec, clip.end_sec)
        return window.stop > window.start

    @property
    def num_rows(self) -> int:
        return sum(record.num_rows for record in self.records.values())

    def count_statuses(self) -> dict[str, int]:
        """lower-case name of a status -> how many requests have it."""
        codes = [segment.request_status for record in self.records.values() for segment in record.segments]
        counts = np.bincount(np.concatenate([*codes, np.zeros(0, np.uint8)]), minlength=len(Status))
        return {status.name.lower(): int(counts[status]) for status in Status}

    def views_of(self, unit: str, row: int) -> np.ndarray:
        """(1+K, 6) int32: the views of the video that a row belongs to."""
        ends = np.cumsum([segment.num_rows for segment in self.records[unit].segments])
        return self.records[unit].segments[int(np.searchsorted(ends, row, side="right"))].views

    # -- shards --------------------------------------------------------------------------------------------------------

    def frames(self, unit: str) -> Shard:
        """The frame shard of a unit. DamagedError if its bytes differ from its record."""
        return self._shard(None, unit, self.records)

    def logits(self, label_set: str, unit: str) -> Shard | ComputedLogits:
        """The logits of a unit: a shard, or computed from embeddings if the label set does not store them.

        DamagedError if the shard is absent or its bytes differ from its record.
        """
        head = self._computing_head(label_set)
        if head is not None:
            return ComputedLogits(self.frames(unit), head)
        return self._shard(label_set, unit, self.label_records(label_set))

    def prefetch(self, units: Iterable[str]) -> None:
        """Begin to read frame shards that will be needed soon, in this order, where they are far away."""
        self._shards.prefetch(None, units, self.records)

    def batch(self, unit: str) -> FrameBatch:
        """All rows of a unit, in memory. DamagedError as in frames()."""
        record, embeddings = self.records[unit], self.all_embeddings(unit)
        if not record.num_rows:
            return FrameBatch(record.segments, (), embeddings, np.zeros(embeddings.shape[:2], np.uint32))
        shard = self.frames(unit)
        jpegs = tuple(shard.jpeg(row) for row in range(record.num_rows))
        crop_crc32 = shard.columns()["crop_crc32"]
        with documents.as_damaged_error(f"the shard of unit {unit}"):
            return FrameBatch(record.segments, jpegs, embeddings, crop_crc32)

    def all_embeddings(self, unit: str) -> np.ndarray:
        """(N, 1+K, D) float16 of one unit. Once the shard is verified, nothing else of it is read."""
        rows, views = self.records[unit].num_rows, 1 + self.identity.num_views
        if not rows:
            return np.zeros((0, views, self.identity.teacher.embed_dim), np.float16)
        shard = self.frames(unit)
        return np.stack([shard.embeddings(0, rows, view) for view in range(views)], axis=1)

    def all_logits(self, label_set: str, unit: str) -> np.ndarray:
        """(N, 1+K, C) float32 of one unit."""
        rows, views = self.records[unit].num_rows, 1 + self.identity.num_views
        if not rows:
            return np.zeros((0, views, self._width(label_set)), np.float32)
        head = self._computing_head(label_set)
        if head is not None:
            return compute_logits(head, self.all_embeddings(unit), f"unit {unit} of {self.cache_dir}")
        shard = self.logits(label_set, unit)
        return np.stack([shard.logits(0, rows, view) for view in range(views)], axis=1)

    def _shard(self, label_set: str | None, unit: str, records: dict[str, Record]) -> Shard:
        if unit not in records or unit not in self.records:
            column = "frames" if label_set is None else f"label set {label_set!r}"
            raise DamagedError(f"{self.cache_dir}: {column} has no record of unit {unit}; run extract-teacher again")
        return self._shards.get(label_set, records[unit], self.records[unit], lambda: self._width(label_set))

    def _width(self, label_set: str | None) -> int:
        """How many values a row has per view: D for frames, C for a label set."""
        if label_set is None:
            return self.identity.teacher.embed_dim
        if label_set not in self._num_classes:
            self._num_classes[label_set] = len(self.label_set(label_set).classes)
        return self._num_classes[label_set]

    # -- label sets ----------------------------------------------------------------------------------------------------

    def label_sets(self) -> tuple[str, ...]:
        """Names of the label sets, sorted."""
        return self._labels.names()

    def label_set(self, name: str | None = None) -> LabelSet:
        """The label set of this name, or the only one. LabelSetError if there is none, or several and no name."""
        return self._labels.read(name)

    def clip_parts(self, name: str) -> dict[int, tuple[ClipLabel, ...]]:
        """plan part -> clips of a label set over its videos, as of the last revision."""
        return self._labels.clip_parts(name)

    def label_tensors(self, name: str) -> bytes | None:
        """The bytes of a label set's tensors.safetensors; None if it has none. DamagedError if they were changed."""
        return self._labels.tensors(name)

    def head(self, name: str) -> dict[str, np.ndarray] | None:
        """The tensors that logits_from() computes a label set's logits from; None if it has none."""
        return self._labels.head(name, self.identity.teacher.embed_dim)

    def texts(self, name: str) -> TextStore:
        """The texts of the clips of a label set by name, and their vectors; read anew whenever they are asked for."""
        return TextStore(self.catalog.layout, self.label_set(name).name, self.identity.teacher.embed_dim)

    def _computing_head(self, name: str) -> dict[str, np.ndarray] | None:
        return self._labels.computing_head(name, self.identity.teacher.embed_dim)

    def label_records(self, label_set: str) -> dict[str, Record]:
        """unit -> record of a label set's logits."""
        return self._labels.records(label_set)

    def override_records(self, label_set: str, records: dict[str, Record]) -> None:
        """Use these records of a label set's logits instead of those on disk."""
        self._labels.override_records(label_set, records)

    def logits_units(self, label_set: str) -> frozenset[str]:
        """Committed units whose logits can be read: those of all units if this label set does not store them."""
        if self._computing_head(label_set) is not None:
            return frozenset(self.records)
        return frozenset(self.label_records(label_set)) & frozenset(self.records)
