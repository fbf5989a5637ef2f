"""Writing a cache: the plan, shards with their records, label sets, quarantine and the manifest.

Files are published by the store, a shard always before its record.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from embedonce.cache.added_teachers.writer import AddedTeacherWriter
from embedonce.cache.catalog import Catalog
from embedonce.cache.errors import BusyError, StorageError
from embedonce.cache.label_set_writer import LabelSetWriter
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import build_manifest, read_manifest, write_manifest, write_shared_manifest
from embedonce.cache.opening import lock_for_writing
from embedonce.cache.plan import PlannedSegment, PlannedVideo, PlanPart, Unit, cut_units
from embedonce.cache.plan_writer import PlanWriter
from embedonce.cache.quarantine import (
    DecodeAttempts,
    QuarantinedVideo,
    count_attempt,
    file_name,
    forget_attempts,
    serialize_entry,
)
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import record_paths
from embedonce.cache.schema import CacheIdentity, FrameBatch
from embedonce.cache.shard_writer import ShardWriter, immediately
from embedonce.cache.stores.registry import Location, address_of, open_store
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.text_store import TextStore
from embedonce.cache.vectors import logits_problem
from embedonce.cache.withdrawn import WithdrawnVideos, withdrawn_videos


class CacheWriter:
    """Write access to one cache whose identity has been claimed. teachers: for adding some, unless it is shared."""

    def __init__(
        self, where: Location, identity: CacheIdentity, catalog: Catalog | None = None, is_shared: bool = False
    ):
        """catalog: of this cache, if a reader in this process has one. is_shared: as in open_writer()."""
        self.store = open_store(where)
        self.identity, self.is_shared = identity, is_shared
        self._layout = Layout(self.store)
        self._catalog = Catalog(self._layout, identity) if catalog is None else catalog
        self._labels = LabelSetWriter(self._layout, self._catalog.labels, is_shared)
        self._settled: set[str] = set()
        self._lock = lock_for_writing(self._layout, identity, is_shared)
        self._shards = ShardWriter(self._layout, identity, self._lock, is_shared)
        self.teachers = AddedTeacherWriter(self._layout, identity, self._catalog, self._shards)
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.close)
            if catalog is not None:
                self._catalog.refresh()
            self._plan = PlanWriter(self._catalog, is_shared)
            if is_shared and not self._layout.manifest.exists():
                self.write_manifest()  # without one, logits that are committed out of order look like lost ones
            undo.pop_all()

    @property
    def cache_dir(self) -> Path | str:
        """The folder or URL of the cache."""
        return address_of(self.store)

    def close(self) -> None:
        """Release the lock, so that another writer can open the cache."""
        self._lock.close()

    # -- plan ------------------------------------------------------------------------------------------------

    @property
    def plan(self) -> list[PlanPart]:
        """All parts that are known. Always the same list, which grows."""
        return self._plan.parts

    @property
    def planned_videos(self) -> dict[str, PlannedVideo]:
        """uid -> video, in the order of the plan. Always the same dictionary, which grows with the plan."""
        return self._plan.index.videos

    @property
    def units(self) -> tuple[Unit, ...]:
        return tuple(self._plan.index.units.values())

    def incomplete_uids(self) -> frozenset[str]:
        """Planned videos of which a rebuilt plan has only some of the requests, and that are not settled."""
        return self._plan.index.incomplete_uids() - self._settled

    def settle(self, uid: str) -> None:
        """Mark a video as complete, although its plan was rebuilt in part. Forgotten when the writer is closed."""
        self._settled.add(uid)

    def extend_plan(
        self, videos: list[PlannedVideo], requests: list[PlannedSegment], shard_frames: int
    ) -> tuple[Unit, ...]:
        """Append videos, and units for their requests, to the plan; returns these units.

        requests: of these videos, or further ones of videos that are planned already. What was planned before never
        changes; videos and requests that another writer has planned meanwhile are left out. Writes as many parts as
        needed, in order. If it is interrupted, videos of which a part is missing are incomplete_uids() when the plan is
        read.
        """
        counts = {segment.video_uid: len(segment.request_k) for segment in requests}
        listed = [replace(video, num_requests=counts.get(video.uid, 0)) for video in videos]
        return self.append_units(listed, cut_units(requests, shard_frames, first_number=self._plan.index.next_number))

    def append_units(self, videos: list[PlannedVideo], units: tuple[Unit, ...]) -> tuple[Unit, ...]:
        """Append videos, and units of these videos or of planned ones, to the plan. As extend_plan() otherwise.

        units: named by the numbers that follow those of the plan; renamed if others have extended it meanwhile.
        """
        return self._plan.append(videos, units) if videos or units else ()

    def refresh(self) -> None:
        """Find what other writers have planned and committed since. What is known stays as it is, and grows."""
        self._catalog.refresh()
        self._plan.refresh()

    def check_plan(self) -> None:
        """DamagedError if the plan lacks committed units: new ones would take their names."""
        self._plan.check()

    def copy_plan(self, plan: list[PlanPart]) -> None:
        """Append the missing parts of a plan. IdentityMismatchError if the existing parts differ from it."""
        self._plan.copy(plan)

    def committed_units(self) -> frozenset[str]:
        return frozenset(path.stem for path in record_paths(self._layout.frame_paths().records))

    # -- shards ----------------------------------------------------------------------------------------------

    def commit_frames(
        self, unit: str, batch: FrameBatch, provenance: dict, before_record: Callable[[], object] = immediately
    ) -> None:
        """Publish the frame shard of a unit, then its record. AlreadyCommittedError if it has one.

        Beside other writers, a shard without a record is taken as it is; DamagedError if it holds other rows.
        before_record: called when the shard is published; if it raises an error, the record is not. Several units may
        be committed at once, from several threads, if this lets one record after the other be published.
        """
        planned = self._plan.planned(unit)
        self._sync_others(self._layout.plan, self._layout.quarantine)
        record = self._shards.commit_frames(unit, batch, provenance, planned, before_record=lambda _: before_record())
        self._catalog.frames.add(self._shards.record_path(None, unit), record)

    def commit_logits(self, label_set: str, unit: str, keys: list[str], logits: np.ndarray, provenance: dict) -> None:
        """Publish the logits shard of a unit: (N, 1+K, C) float32 for the rows named by keys, then its record."""
        if logits.dtype != np.float32 or logits.ndim != 3 or len(logits) != len(keys):
            raise ValueError(f"logits must be ({len(keys)}, 1+K, C) float32, got {logits.shape} {logits.dtype}")
        if problem := logits_problem(logits):
            raise ValueError(f"unit {unit} cannot be committed with {problem}")
        self._sync_others(self._layout.frame_paths().records, self._layout.labels / label_set / "clips")
        record = self._shards.commit_logits(label_set, unit, keys, logits, provenance)
        self._catalog.labels.add_record(label_set, self._shards.record_path(label_set, unit), record)

    def _sync_others(self, *folders: StoredPath) -> None:
        """Make durable what other writers have published here: a record must not outlive what it builds on."""
        if self.is_shared:
            self._layout.sync(folders)

    # -- label sets ------------------------------------------------------------------------------------------

    def create_label_set(self, labels: LabelSet, tensors: bytes | None) -> LabelSet:
        """Publish a label set without clips, or return the existing one. LabelSetError if that differs."""
        return self._labels.create(labels, tensors)

    def publish_clips(self, label_set: str, part: int, clips: list[ClipLabel]) -> None:
        """Publish the clips over the videos of one plan part, unless that was done before."""
        self._labels.publish_clips(label_set, part, clips)

    def revise_clips(self, label_set: str, parts: list[list[ClipLabel]]) -> None:
        """Replace the clips of the first plan parts in one step. parts: clips by plan part.

        Earlier clips stay on disk as history; clips of later plan parts are published as usual.
        """
        self._labels.revise_clips(label_set, parts)

    def texts(self, label_set: str) -> TextStore:
        """The texts of the clips of a label set. BusyError if others may write it, too: texts have one writer."""
        if self.is_shared:
            raise BusyError(f"texts cannot be written into {self.cache_dir} while other processes write it")
        return TextStore(self._layout, label_set, self.identity.teacher.embed_dim)

    # -- quarantine, manifest ----------------------------------------------------------------------------------

    def quarantine(self, name: str, video: QuarantinedVideo) -> None:
        """Record that a video cannot be used. name: its uid, or the path of a file that has none."""
        path = self._layout.quarantine / file_name(name)
        path.replace(serialize_entry(name, video, str(path)))
        self.forget_attempts(name)

    def release(self, name: str) -> None:
        """Take a video out of quarantine, and forget its attempts."""
        self.forget_attempts(name)
        (self._layout.quarantine / file_name(name)).delete()

    def quarantined(self) -> dict[str, QuarantinedVideo]:
        """name -> quarantined video."""
        return self._catalog.quarantined()

    def count_attempt(self, name: str, reason: str) -> None:
        """Record that a process crashed or hung while decoding a video; the count survives the run."""
        count_attempt(self._layout.attempts, name, reason, is_shared=self.is_shared)

    def forget_attempts(self, name: str) -> None:
        """Remove the count of a video that was decoded without a crash."""
        forget_attempts(self._layout.attempts, name)

    def attempts(self) -> dict[str, DecodeAttempts]:
        """name -> attempts, of every video that crashed or hung a process and was not decoded since."""
        return self._catalog.attempts()

    def withdrawn(self) -> WithdrawnVideos:
        """The videos that were removed for good."""
        return withdrawn_videos(self._layout)

    def write_manifest(self) -> dict:
        """Rebuild manifest.json from the records; returns its fields."""
        if self.is_shared:
            self._plan.refresh()
            return write_shared_manifest(self._catalog)
        manifest = build_manifest(self._catalog)
        write_manifest(self._layout, manifest)
        return manifest

    def rebuild_manifest_if_stale(self) -> bool:
        """Rebuild manifest.json if it differs from the records; returns whether it did."""
        if self.is_shared:
            self.refresh()
        is_stale = read_manifest(self._layout) != build_manifest(self._catalog)
        if is_stale:
            self.write_manifest()
        return is_stale

    def write_sidecar(self, name: str, text: str) -> None:
        """Write a small text file, such as the resolved configuration, into the folder of the cache."""
        if "/" in name or name.startswith("."):
            raise StorageError(f"{name!r} is not a plain file name")
        (self._layout.root / name).replace(text.encode())

    def reader(self) -> CacheReader:
        """A reader of what is committed now."""
        return CacheReader(self.store, self.identity, catalog=self._catalog)
