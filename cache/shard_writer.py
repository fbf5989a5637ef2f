"""Committing one shard: its file first, its record second. The caller holds the lock of the cache."""

from collections.abc import Callable
from dataclasses import replace

from embedonce.cache import documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.shard_format import Encoded
from embedonce.cache.commit import sha256
from embedonce.cache.errors import AlreadyCommittedError
from embedonce.cache.layout import Layout
from embedonce.cache.planned_units import PlannedUnit
from embedonce.cache.records import Record, check_record, record_document, record_of
from embedonce.cache.schema import FrameBatch
from embedonce.cache.stores.base import Lock
from embedonce.cache.stores.stored_path import StoredPath

NO_SHARD = Encoded(b"", {})  # of a unit that ends without rows


def immediately() -> None:
    """The record is published as soon as its shard is."""


class ShardWriter:
    """Publishes shards and records of one cache."""

    def __init__(self, layout: Layout, backend: str, lock: Lock):
        self._layout, self._format, self._lock = layout, BACKENDS[backend], lock

    def record_path(self, label_set: str | None, unit: str) -> StoredPath:
        """The record of a unit: of a label set's logits, or of the frames for None."""
        return self._layout.column_paths(label_set).records / f"{unit}.json"

    def commit_frames(
        self,
        unit: str,
        batch: FrameBatch,
        provenance: dict,
        planned: PlannedUnit | None,
        *,
        replaces: str = "",
        before_record: Callable[[], object] = immediately,
    ) -> Record:
        """Publish the frame shard of a unit, then its record. AlreadyCommittedError if it has one.

        planned: the unit as it was planned, if it was. replaces: the unit whose rows these are; readers skip it then.
        before_record: called when the shard is published; if it raises an error, the record is not.
        """
        encoded = self._format.encode_frames(batch) if batch.jpegs else NO_SHARD
        record = record_of(unit, encoded, sha256(encoded.data), batch.segments, len(batch.jpegs), provenance)
        part = None if planned is None else planned.part
        return self._commit(None, replace(record, part=part, replaces=replaces), encoded, planned, before_record)

    def commit_logits(self, label_set: str, unit: str, keys: list[str], logits, provenance: dict) -> Record:
        """Publish the logits shard of a unit, then its record. AlreadyCommittedError if it has one."""
        encoded = self._format.encode_logits(keys, logits) if keys else NO_SHARD
        record = record_of(unit, encoded, sha256(encoded.data), (), len(keys), provenance)
        return self._commit(label_set, record, encoded, None, immediately)

    def _commit(
        self,
        label_set: str | None,
        record: Record,
        encoded: Encoded,
        planned: PlannedUnit | None,
        before_record: Callable[[], object],
    ) -> Record:
        path = self.record_path(label_set, record.unit)
        document = documents.serialize_verified(record_document(record, planned), check_record, str(path))
        if record.num_rows:
            name = self._layout.shard_name(label_set, record.unit, self._format.suffix)
            self._publish_shard(name, encoded.data, path)
        before_record()
        self._lock.check()
        path.put_if_absent(document)
        return record

    def _publish_shard(self, name: str, data: bytes, record_path: StoredPath) -> None:
        store = self._layout.store
        try:
            store.put_if_absent(name, data)
        except AlreadyCommittedError:
            if record_path.exists():
                raise
            # A shard without a record: an earlier run stopped between the two. No record refers to its bytes, and
            # this process holds the lock, so no other is about to publish one. Were it suspended now until it has lost
            # the lock, the shard would have another version when it goes on.
            version = store.version(name)
            self._lock.check()
            store.replace_version(name, version, data)
