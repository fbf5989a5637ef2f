"""The steps of a removal, each of which may be repeated: whoever opens the cache for writing finishes it.

No published shard or record is edited. A unit with rows of a removed video is written again, without them, under a new
name; the record of the new unit names the old one, which readers skip from then on, and then the old one is deleted.
"""

import logging
from collections.abc import Callable

import numpy as np

from embedonce.cache import documents, long_documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.catalog import Catalog
from embedonce.cache.label_set_reader import clip_places, clips_from, revision_from
from embedonce.cache.layout import CONTINUED, Layout, TeacherColumn
from embedonce.cache.manifest import build_manifest, write_manifest
from embedonce.cache.plan import PlanIndex, PlanPart
from embedonce.cache.plan_documents import plan_document, plan_from
from embedonce.cache.planned_units import planned_in
from embedonce.cache.quarantine import file_name, forget_attempts
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record, read_record
from embedonce.cache.remaining import (
    batch_without,
    part_with_both,
    part_without_units,
    part_without_videos,
    provenance_without,
    rows_without,
)
from embedonce.cache.removal_document import Removal, read_removal
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.shard_writer import ShardWriter
from embedonce.cache.stores.base import Lock
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.text_store import TextStore
from embedonce.cache.withdrawn import is_withdrawn, readmit, withdraw

log = logging.getLogger(__name__)

OnProgress = Callable[[], None]  # called after each unit


def finish_removal(
    layout: Layout, identity: CacheIdentity, lock: Lock, on_progress: OnProgress | None = None
) -> Removal | None:
    """Do what is left of the removal that is under way; returns it, or None if there is none.

    DamagedError if a unit that must be written again is damaged; what was done so far stays.
    """
    removal = read_removal(layout)
    if removal is None:
        return None
    if on_progress is None:
        log.warning("%s: a removal that was interrupted is finished first", layout.root)
    _Steps(layout, identity, lock, removal).run(on_progress or (lambda: None))
    return removal


class _Steps:
    """One removal from one cache, whose lock the caller holds."""

    def __init__(self, layout: Layout, identity: CacheIdentity, lock: Lock, removal: Removal):
        self.layout, self.identity, self.removal, self._lock = layout, identity, removal, lock
        self.videos = frozenset(removal.videos)
        self.suffix = BACKENDS[identity.backend].suffix
        self.shards = ShardWriter(layout, identity, lock)
        self.reader = CacheReader(layout.store, identity, catalog=Catalog(layout, identity))

    def run(self, on_progress: OnProgress) -> None:
        self.layout.refuse_links((self.layout.withdrawn, self.layout.removed))
        self.layout.refuse_teacher_links()
        self._write_manifest()
        for name in self.removal.label_sets:
            self._remove_column(self.layout.label_set_document(name))
        for name in self.removal.teachers:
            self._remove_column(self.layout.teacher_document(name))
        self._mark_videos()
        for name in self.layout.label_sets():
            self._remove_clips(name)
        self._change_plan(lambda part: part_with_both(part, dict(self.removal.units), self.videos))
        plan = PlanIndex(self.reader.plan())
        for old, new in self.removal.units:
            if new:
                self._write_again(old, new, plan)
            self._delete_unit(old)
            on_progress()
        self._change_plan(lambda part: part_without_units(part, self.removal.old_units, self.videos))
        self._change_plan(lambda part: part_without_videos(part, self.videos))  # which no part continues any more
        for name in sorted(self.videos):
            self._delete(self.layout.quarantine / file_name(name))
            forget_attempts(self.layout.attempts, name)
        if self.videos:
            self._delete_leftovers()
        self.reader.close()
        self._write_manifest()
        self.layout.removal.delete()

    def _write_manifest(self) -> None:
        """The manifest without anything that is removed, so that no file is taken for lost."""
        fields = build_manifest(Catalog(self.layout, self.identity))
        old = self.removal.old_units
        fields["shards"] = [entry for entry in fields["shards"] if entry["unit"] not in old]
        fields |= {total: sum(entry[total] for entry in fields["shards"]) for total in ("num_rows", "num_bytes")}
        fields["quarantined"] = [name for name in fields["quarantined"] if name not in self.videos]
        fields["label_sets"] = [name for name in fields["label_sets"] if name not in self.removal.label_sets]
        fields["labels"] = {name: fields["labels"][name] for name in fields["label_sets"]}
        for contents in fields["labels"].values():
            contents["records"] = [unit for unit in contents["records"] if unit not in old]
        teachers = fields.get("teachers", {})
        for name, units in teachers.items():
            teachers[name] = [unit for unit in units if unit not in old]
        if kept := {name: teachers[name] for name in teachers if name not in self.removal.teachers}:
            fields["teachers"] = kept
        else:
            fields.pop("teachers", None)
        write_manifest(self.layout, fields)

    def _remove_column(self, document: StoredPath) -> None:
        self._delete(document)  # from here on the label set or teacher does not exist
        document.parent.delete_folder()

    def _mark_videos(self) -> None:
        planned = {video.uid: video for part in self.reader.plan() for video in part.videos}
        for name in sorted(self.videos):
            if not self.removal.is_withdrawal:
                readmit(self.layout, name)
            elif name in planned or not is_withdrawn(self.layout, name):
                withdraw(self.layout, name, planned[name].fingerprint if name in planned else "")

    def _remove_clips(self, name: str) -> None:
        """Write the clip lists and all revisions of a label set that have clips of the videos again, without those."""
        clips, revisions = (self.layout.labels / name / inner for inner in ("clips", "revisions"))
        for path in clips.list(".json"):
            fields = _fields_of(path, clips_from)
            self._rewrite(path, fields, {**fields, "clips": self._clips_without(fields["clips"])}, clips_from)
        for path in revisions.list(".json"):
            fields = _fields_of(path, revision_from)
            parts = list(map(self._clips_without, fields["parts"]))
            self._rewrite(path, fields, {**fields, "parts": parts}, revision_from)
        for folder in (*clips.list(CONTINUED), *revisions.list(CONTINUED)):
            if folder.is_folder() and folder.stem.isdecimal():
                long_documents.delete_unlisted(folder)
        texts = TextStore(self.layout, name, self.identity.teacher.embed_dim)
        texts.remove_videos(self.videos, self._lock.check)

    def _clips_without(self, clips: list[dict]) -> list[dict]:
        return [clip for clip in clips if clip["video_uid"] not in self.videos]

    def _rewrite(self, path: StoredPath, old: dict, new: dict, check: long_documents.Check) -> None:
        """Replace the document of a clip list or revision, unless both fields are equal."""

        def put(data: bytes) -> None:
            self._lock.check()
            path.replace(data)

        if new != old:
            long_documents.publish(path, new, clip_places(new), check, put)

    def _change_plan(self, change: Callable[[PlanPart], PlanPart]) -> None:
        """Replace the plan parts that change."""
        for part in self.reader.plan():
            path, document = self.layout.plan_part(part.part), plan_document(change(part))
            if document != plan_document(part):
                self._lock.check()
                path.replace(documents.serialize_verified(document, plan_from, str(path)))
        self.reader.catalog.refresh()

    def _write_again(self, old: str, new: str, plan: PlanIndex) -> None:
        """Commit the other rows of a unit as a new unit, after what depends on them, unless that was done before."""
        record = self.reader.catalog.frames.values().get(old)
        if record is None or self.shards.record_path(None, new).exists():
            return
        reader = CacheReader(self.layout.store, self.identity, {old: record}, self.reader.catalog)
        batch = batch_without(reader.batch(old), self.videos)
        rows = rows_without(record.segments, self.videos)
        for name in reader.label_sets():
            if old in reader.label_records(name) and not self.shards.record_path(name, new).exists():
                logits, facts = reader.all_logits(name, old)[rows], reader.label_records(name)[old].provenance
                self.shards.commit_logits(name, new, batch.keys, logits, facts)
        provenance = provenance_without(record.provenance, self.videos)

        def write_teachers(frames: Record) -> None:
            self._write_teachers_again(reader, old, frames, rows)

        planned = planned_in(plan, new)
        self.shards.commit_frames(new, batch, provenance, planned, replaces=old, before_record=write_teachers)
        reader.close()

    def _write_teachers_again(self, reader: CacheReader, old: str, frames: Record, rows: np.ndarray) -> None:
        """Commit the embeddings of these rows of a unit by added teachers, for the record of the new unit's frames."""
        for name in reader.teachers.names():
            embedded, column = reader.teachers.records(name), TeacherColumn(name)
            path = self.shards.record_path(column, frames.unit)
            if old not in embedded or (path.exists() and read_record(path).frames_sha256 == frames.sha256):
                continue
            self._delete(path)  # of frames that a run which was interrupted here has encoded otherwise
            self._delete(StoredPath(self.layout.store, self.layout.shard_name(column, frames.unit, self.suffix)))
            embeddings, crop_crc32 = (
                of(name, old)[rows] for of in (reader.teachers.all_embeddings, reader.teachers.all_crop_crc32)
            )
            self.shards.commit_embeddings(name, frames, embeddings, crop_crc32, embedded[old].provenance)

    def _delete_unit(self, unit: str) -> None:
        """Delete a unit, the record of its frames first: from then on it does not exist."""
        columns = self.layout.columns()
        self._lock.check()
        for column in columns:
            self._delete(self.shards.record_path(column, unit))
        for column in columns:
            self._delete(StoredPath(self.layout.store, self.layout.shard_name(column, unit, self.suffix)))

    def _delete(self, path: StoredPath) -> None:
        if path.exists():
            self.layout.store.forget(path.relative)  # while it has a version, by which copies are named
            path.delete()

    def _delete_leftovers(self) -> None:
        """Delete what may hold rows or names of the videos and is no part of the cache.

        That is shards without records, removed/, and the fingerprints of files.
        """
        self._delete(self.layout.file_fingerprints)
        for column in self.layout.columns():
            shards, records = self.layout.column_paths(column)
            units = {path.stem for path in records.list(".json")}
            for path in shards.list(self.suffix):
                if path.stem not in units:
                    self._delete(path)
        if self.layout.removed.exists():
            self.layout.removed.delete_folder()


def _fields_of(path: StoredPath, check: long_documents.Check) -> dict:
    """The fields of a document, with those of its continuations. DamagedError if it cannot be read or is invalid."""
    fields = long_documents.read(path)
    check(fields, str(path))
    del fields["format_version"]  # which it has because of its length, or not
    return fields
