"""Writing a cache: the plan, the shards with their records, label sets, quarantine and the manifest.

Every file goes through cache.commit; the order is shard, then record. Knows no videos and no models.
"""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from embedonce.cache import commit, documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.shard_format import Encoded
from embedonce.cache.errors import AlreadyCommittedError, DamagedError, IdentityMismatchError, StorageError
from embedonce.cache.files import exists, list_folder, refuse_links
from embedonce.cache.labels import ClipLabel, LabelSet, check_same, clip_from, label_set_document, label_set_from
from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlanIndex, PlannedSegment, PlannedVideo, PlanPart, Unit, cut_units
from embedonce.cache.plan_age import last_clip_part, older_plan, older_than_clips
from embedonce.cache.planned_units import planned_in
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record, read_records, record_document, record_from, record_of, record_paths
from embedonce.cache.schema import FORMAT_VERSION, CacheIdentity, FrameBatch, check_uid
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.vectors import logits_problem
from embedonce.cache.witness import label_set_contents

NOTHING = Encoded(b"", {})  # of a unit that ends without rows


class CacheWriter:
    """Write access to one cache whose identity has been claimed."""

    def __init__(self, directory: Path, identity: CacheIdentity):
        self.directory = Path(directory)
        self.identity = identity
        self._layout = Layout(self.directory)
        self._format = BACKENDS[identity.backend]
        self._store = LocalStore(self.directory)
        self._lock = commit.Lock(self._layout.lock)
        refuse_links(self._layout.folders)
        for folder in (self.directory, *self._layout.folders, *self._layout.label_folders()):
            commit.remove_leftovers(folder)
            commit.sync_folder(folder)  # names that a killed run left there may not be on disk yet
        self.plan: list[PlanPart] = documents.read_plan(self._layout.plan)
        self._index = PlanIndex(self.plan)
        self._settled: set[str] = set()

    def close(self) -> None:
        """Let another writer in."""
        self._lock.close()

    # -- plan ------------------------------------------------------------------------------------------------

    @property
    def planned_videos(self) -> dict[str, PlannedVideo]:
        """uid -> video, in the order of the plan; the same dictionary every time, which grows with the plan."""
        return self._index.videos

    @property
    def units(self) -> tuple[Unit, ...]:
        return tuple(self._index.units.values())

    def incomplete_uids(self) -> frozenset[str]:
        """Planned videos of which a rebuilt plan has only some of the requested times, and that were not settled."""
        return self._index.incomplete_uids() - self._settled

    def settle(self, uid: str) -> None:
        """Say that nothing more is asked of a video than the plan has. Forgotten when the writer is closed."""
        self._settled.add(uid)

    def extend_plan(self, videos: list[PlannedVideo], requests: list[PlannedSegment], shard_frames: int) -> None:
        """Append videos and the units of their requests to the plan. What was planned before never changes.

        Requests of videos that are planned already go on with these.
        """
        if not videos and not requests:
            return
        self.check_plan()
        counts = {segment.video_uid: len(segment.request_k) for segment in requests}
        listed = tuple(replace(video, num_requests=counts.get(video.uid, 0)) for video in videos)
        new = {video.uid for video in videos}
        continued = tuple(uid for uid in counts if uid not in new and uid in self.planned_videos)
        units = cut_units(requests, shard_frames, first_number=self._index.next_number)
        self._append_part(PlanPart(len(self.plan), listed, units, continued))

    def check_plan(self) -> None:
        """DamagedError where units were committed that the plan does not have: new ones would take their names."""
        if lacking := self.committed_units() - set(self._index.units):
            raise DamagedError(older_plan(self.directory, lacking))
        if self.plan and (number := last_clip_part(self._layout)) >= len(self.plan):
            raise DamagedError(older_than_clips(self.directory, number))

    def copy_plan(self, plan: list[PlanPart]) -> None:
        """Append the parts that are not there yet. IdentityMismatchError where what is there is another plan."""
        for ours, theirs in zip(self.plan, plan, strict=False):
            if documents.plan_document(ours) != documents.plan_document(theirs):
                raise IdentityMismatchError(f"{self.directory} has another plan; choose another folder")
        for part in plan[len(self.plan) :]:
            self._append_part(part)

    def _append_part(self, part: PlanPart) -> None:
        path = self._layout.plan / f"{part.part:06d}.json"
        commit.publish(path, documents.sealed(documents.plan_document(part), documents.plan_from, str(path)))
        self.plan.append(part)
        self._index.add(part)

    def committed_units(self) -> frozenset[str]:
        return frozenset(path.stem for path in record_paths(self._layout.columns(None)[1]))

    # -- shards ----------------------------------------------------------------------------------------------

    def commit_frames(self, unit: str, batch: FrameBatch, provenance: dict) -> None:
        """Publish the frame shard of a unit and then its record. AlreadyCommittedError where it has one."""
        encoded = self._format.encode_frames(batch) if batch.jpegs else NOTHING
        self._commit(None, unit, encoded, (batch.segments, len(batch.jpegs), provenance))

    def commit_logits(self, label_set: str, unit: str, keys: list[str], logits: np.ndarray, provenance: dict) -> None:
        """Publish the logits shard of a unit: (N, 1+K, C) float32 for the rows named by keys, then its record."""
        if logits.dtype != np.float32 or logits.ndim != 3 or len(logits) != len(keys):
            raise ValueError(f"logits must be ({len(keys)}, 1+K, C) float32, got {logits.shape} {logits.dtype}")
        if problem := logits_problem(logits):
            raise ValueError(f"unit {unit} cannot be committed with {problem}")
        encoded = self._format.encode_logits(keys, logits) if keys else NOTHING
        self._commit(label_set, unit, encoded, ((), len(keys), provenance))

    def _commit(self, label_set: str | None, unit: str, encoded, content: tuple) -> None:
        segments, num_rows, provenance = content
        record_path = self._layout.columns(label_set)[1] / f"{unit}.json"
        if record_path.exists():
            raise AlreadyCommittedError(f"unit {unit} of {self.directory} was committed by another writer")
        record = record_of(unit, encoded, commit.sha256(encoded.data), segments, num_rows, provenance)
        planned = planned_in(self._index, unit) if label_set is None else None
        document = documents.sealed(record_document(record, planned), record_from, str(record_path))
        if num_rows:
            name = self._layout.shard_name(label_set, unit, self._format.suffix)
            self._publish_shard(name, encoded.data, record_path)
        commit.publish(record_path, document)

    def _publish_shard(self, name: str, data: bytes, record_path: Path) -> None:
        try:
            self._store.publish(name, data)
        except AlreadyCommittedError:
            if record_path.exists():
                raise
            # A shard without a record: an earlier run stopped between the two. Its bytes were never vouched for,
            # and the lock says that nobody is about to.
            self._store.replace(name, data)

    # -- label sets ------------------------------------------------------------------------------------------

    def create_label_set(self, labels: LabelSet, tensors: bytes | None) -> LabelSet:
        """Publish a label set without clips, or return the equal one that is there. LabelSetError if it differs."""
        folder = self._layout.labels / check_uid(labels.name)
        if (folder / "label_set.json").exists():
            stored = self._labels_reader().label_set(labels.name)
            check_same(labels, stored)
            return stored
        inner = (folder / "clips", folder / "revisions", *self._layout.columns(labels.name))
        if left := [path for place in inner for path in list_folder(place)]:
            raise DamagedError(
                f"{folder} has lost its label_set.json: {left[0]} and {len(left) - 1} more files in it are of another "
                "one. Nothing was changed; put it back from a copy, or give another name with --label-set"
            )
        for path in inner:
            commit.make_folder(path)
        digest = None if tensors is None else commit.sha256(tensors)
        document = documents.sealed(label_set_document(labels) | {"tensors_sha256": digest}, _label_set, labels.name)
        if tensors is not None:
            commit.replace(folder / "tensors.safetensors", tensors)
        commit.publish(folder / "label_set.json", document)
        return labels

    def publish_clips(self, label_set: str, part: int, clips: list[ClipLabel]) -> None:
        """Publish the clips over the videos of one plan part, unless they are there."""
        path = self._layout.labels / label_set / "clips" / f"{part:06d}.json"
        if not path.exists():
            commit.publish(path, documents.serialize_with_checksum({"part": part, "clips": _checked(clips)}))

    def revise_clips(self, label_set: str, parts: list[list[ClipLabel]]) -> None:
        """Put these clips, by plan part, in the place of all that are there, in one step.

        What was published before stays on disk as history; parts of the plan beyond these are published as usual.
        """
        folder = self._layout.labels / label_set / "revisions"
        commit.make_folder(folder)
        number = 1 + max((int(path.stem) for path in list_folder(folder, ".json")), default=0)
        document = {"revision": number, "parts": [_checked(clips) for clips in parts]}
        commit.publish(folder / f"{number:06d}.json", documents.serialize_with_checksum(document))

    # -- quarantine, manifest ----------------------------------------------------------------------------------

    def quarantine(self, name: str, facts: dict) -> None:
        """Record that a video cannot be used. facts: source, reason, num_bytes, modified_ns."""
        path = self._layout.quarantine / documents.file_of(name)
        commit.replace(path, documents.sealed({"name": name, **facts}, documents.named_from, str(path)))
        commit.remove(self._layout.attempts / documents.file_of(name))

    def release(self, name: str) -> None:
        """Forget a quarantine, and attempts from before it."""
        self.forget_attempts(name)
        commit.remove(self._layout.quarantine / documents.file_of(name))

    def quarantined(self) -> dict[str, dict]:
        """name -> facts of every quarantined video."""
        return documents.read_named(self._layout.quarantine)

    def count_attempt(self, name: str, reason: str) -> None:
        """Record that decoding a video ended a process or hung; the count survives the run."""
        path = self._layout.attempts / documents.file_of(name)
        spent = documents.named_from(documents.read(path), str(path))[1]["attempts"] if exists(path) else 0
        document = {"name": name, "attempts": spent + 1, "reason": reason}
        commit.replace(path, documents.sealed(document, documents.named_from, str(path)))

    def forget_attempts(self, name: str) -> None:
        commit.remove(self._layout.attempts / documents.file_of(name))

    def attempts(self) -> dict[str, dict]:
        """name -> attempts, reason, of every video that a process was lost over and that has not ended well since."""
        return documents.read_named(self._layout.attempts)

    def write_manifest(self) -> dict:
        """Rebuild manifest.json, a summary for people, from the records; returns it."""
        manifest = self._manifest()
        commit.replace(self._layout.manifest, documents.serialize_with_checksum(manifest))
        return manifest

    def rebuild_manifest_if_stale(self) -> bool:
        """Rebuild manifest.json where it is not what the records say; returns whether that was so."""
        try:
            there = documents.read(self._layout.manifest)
        except DamagedError:
            there = {}
        is_wrong = there != self._manifest() | {"format_version": FORMAT_VERSION}
        if is_wrong:
            self.write_manifest()
        return is_wrong

    def _manifest(self) -> dict:
        records, names = read_records(self._layout.columns(None)[1]), list(self._layout.label_sets())
        return {
            "shards": [_summary(record) for record in records.values()],
            "num_rows": sum(record.num_rows for record in records.values()),
            "num_bytes": sum(record.num_bytes for record in records.values()),
            "label_sets": names,
            "labels": {name: label_set_contents(self._layout, name) for name in names},
            "plan_parts": len(self.plan),
            "quarantined": sorted(self.quarantined()),
        }

    def write_sidecar(self, name: str, text: str) -> None:
        """Write a small text file, such as the resolved configuration, into the cache's folder."""
        if "/" in name or name.startswith("."):
            raise StorageError(f"{name!r} is not a plain file name")
        commit.replace(self.directory / name, text.encode())

    def reader(self) -> CacheReader:
        """A reader on what is committed now."""
        return CacheReader(self.directory, self.identity)

    def _labels_reader(self) -> CacheReader:
        """A reader that knows label sets and no shards: it costs nothing to open."""
        return CacheReader(self.directory, self.identity, {})


def _label_set(document: dict, what: str) -> LabelSet:
    with documents.as_damaged_error(what):
        return label_set_from(document, ())


def _checked(clips: list[ClipLabel]) -> list[dict]:
    """Clips as documents; ValueError where no reader would take one."""
    listed = [asdict(clip) for clip in clips]
    for clip in listed:
        clip_from(clip)
    return listed


def _summary(record: Record) -> dict:
    return {
        "unit": record.unit,
        "num_rows": record.num_rows,
        "num_bytes": record.num_bytes,
        "sha256": record.sha256,
        "videos": record.video_uids,
    }
