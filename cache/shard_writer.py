"""Committing one shard: its file first, its record second. The caller holds the lock of the cache, alone or shared."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from embedonce.cache import documents
from embedonce.cache.adoption import adopted_frames, adopted_logits
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.shard_format import Encoded
from embedonce.cache.commit import sha256
from embedonce.cache.errors import AlreadyCommittedError, DamagedError
from embedonce.cache.layout import Column, Layout, TeacherColumn
from embedonce.cache.planned_units import PlannedUnit
from embedonce.cache.records import Record, check_record, read_record, record_document, record_of
from embedonce.cache.schema import CacheIdentity, FrameBatch
from embedonce.cache.stores.base import Lock
from embedonce.cache.stores.stored_path import StoredPath

NO_SHARD = Encoded(b"", {})  # of a unit that ends without rows


def immediately() -> None:
    """The record is published as soon as its shard is."""


def _at_once(record: Record) -> None:
    """As immediately()."""


def _adopt_nothing(name: str) -> Record:
    raise DamagedError(f"{name} has no record, and only one writer adds a teacher")


class ShardWriter:
    """Publishes shards and records of one cache. is_shared: others may do so at the same time."""

    def __init__(self, layout: Layout, identity: CacheIdentity, lock: Lock, is_shared: bool = False):
        self._layout, self._identity, self._lock, self._is_shared = layout, identity, lock, is_shared
        self._format = BACKENDS[identity.backend]

    def record_path(self, column: Column, unit: str) -> StoredPath:
        """The record of a unit in a column."""
        return self._layout.column_paths(column).records / f"{unit}.json"

    def commit_frames(
        self,
        unit: str,
        batch: FrameBatch,
        provenance: dict,
        planned: PlannedUnit | None,
        *,
        replaces: str = "",
        before_record: Callable[[Record], object] = _at_once,
    ) -> Record:
        """Publish the frame shard of a unit, then its record. AlreadyCommittedError if it has one.

        planned: the unit as it was planned, if it was. replaces: the unit whose rows these are; readers skip it then.
        before_record: called with the record when the shard is published; if it raises an error, the record is not.
        """
        encoded = self._format.encode_frames(batch) if batch.jpegs else NO_SHARD
        record = record_of(unit, encoded, sha256(encoded.data), batch.segments, len(batch.jpegs), provenance)
        part = None if planned is None else planned.part
        record = replace(record, part=part, replaces=replaces)

        def adopt(name: str) -> Record:
            return adopted_frames(self._layout, self._identity, name, record, batch)

        return self._commit(None, record, encoded, planned, before_record, adopt)

    def commit_logits(self, label_set: str, unit: str, keys: list[str], logits, provenance: dict) -> Record:
        """Publish the logits shard of a unit, then its record. AlreadyCommittedError if it has one."""
        encoded = self._format.encode_logits(keys, logits) if keys else NO_SHARD
        record = record_of(unit, encoded, sha256(encoded.data), (), len(keys), provenance)

        def adopt(name: str) -> Record:
            frames = read_record(self.record_path(None, unit))
            return adopted_logits(self._layout, self._identity, label_set, name, record, frames, logits)

        return self._commit(label_set, record, encoded, None, _at_once, adopt)

    def commit_embeddings(
        self, teacher: str, frames: Record, embeddings: np.ndarray, crop_crc32: np.ndarray, provenance: dict
    ) -> Record:
        """Publish an added teacher's shard of a unit, then its record. AlreadyCommittedError if it has one.

        frames: the record of the unit's frames. Not beside other writers.
        """
        keys = frames.keys
        encoded = self._format.encode_embeddings(keys, embeddings, crop_crc32) if keys else NO_SHARD
        record = record_of(frames.unit, encoded, sha256(encoded.data), (), len(keys), provenance)
        record = replace(record, frames_sha256=frames.sha256)
        return self._commit(TeacherColumn(teacher), record, encoded, None, _at_once, _adopt_nothing)

    def _commit(
        self,
        column: Column,
        record: Record,
        encoded: Encoded,
        planned: PlannedUnit | None,
        before_record: Callable[[Record], object],
        adopt: Callable[[str], Record],
    ) -> Record:
        """adopt: the record of another writer's shard of this name, if it holds the same rows."""
        path = self.record_path(column, record.unit)
        document = documents.serialize_verified(record_document(record, planned), check_record, str(path))
        name = self._layout.shard_name(column, record.unit, self._format.suffix)
        if not self._publish_shard(name, encoded.data, path):
            record = self._adopted(name, path, adopt)
            document = documents.serialize_verified(record_document(record, planned), check_record, str(path))
        before_record(record)
        self._lock.check()
        path.put_if_absent(document)
        return record

    def _publish_shard(self, name: str, data: bytes, record_path: StoredPath) -> bool:
        """False if there is a shard that may be another writer's. data: empty if the unit has no rows."""
        store = self._layout.store
        if not data:
            return not (self._is_shared and store.exists(name))
        try:
            store.put_if_absent(name, data)
        except AlreadyCommittedError:
            if record_path.exists():
                raise
            if self._is_shared:
                return False
            # A shard without a record: an earlier run stopped between the two. No record refers to its bytes, and
            # this process holds the lock, so no other is about to publish one. Were it suspended now until it has lost
            # the lock, the shard would have another version when it goes on.
            version = store.version(name)
            self._lock.check()
            store.replace_version(name, version, data)
        return True

    def _adopted(self, name: str, record_path: StoredPath, adopt: Callable[[str], Record]) -> Record:
        """The record of a stored shard. AlreadyCommittedError if its writer has committed it meanwhile."""
        try:
            return adopt(name)
        except DamagedError as error:
            if record_path.exists():
                raise AlreadyCommittedError(
                    f"{record_path} exists already: another writer published it first"
                ) from error
            raise
