"""Reading added teachers: their identities, which units they have embedded, and their embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from embedonce.cache.added_teachers.documents import FIRST, AddedTeacher, read_added_teacher
from embedonce.cache.backends.shard_format import Shard
from embedonce.cache.errors import DamagedError, TeacherError
from embedonce.cache.layout import Layout, TeacherColumn
from embedonce.cache.parsed_folder import ParsedFolder
from embedonce.cache.records import Record, read_record
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.stores.stored_path import StoredPath

if TYPE_CHECKING:
    from embedonce.cache.verified_shards import VerifiedShards


class AddedTeacherDocuments:
    """The documents of the added teachers of one cache, each parsed once."""

    def __init__(self, layout: Layout, identity: CacheIdentity):
        self._layout, self._num_views = layout, identity.num_views
        self._teachers: dict[str, AddedTeacher] = {}
        self._records: dict[str, ParsedFolder[Record]] = {}
        self._overrides: dict[str, dict[str, Record]] = {}

    def refresh(self) -> None:
        """Find what was written since."""
        self._teachers.clear()
        for records in self._records.values():
            records.refresh()

    def names(self) -> tuple[str, ...]:
        """Names of the added teachers, sorted."""
        return self._layout.added_teachers()

    def read(self, name: str) -> AddedTeacher:
        """The added teacher of this name. TeacherError if there is none, DamagedError if its document is damaged."""
        if name not in self._teachers:
            names = self.names()
            if name not in names:
                raise TeacherError(
                    f"{self._layout.root} has no teacher {name!r} (it has: {', '.join((FIRST, *names))}); add-teacher "
                    "adds one"
                )
            self._teachers[name] = read_added_teacher(self._layout, name, self._num_views)
        return self._teachers[name]

    def records(self, name: str) -> dict[str, Record]:
        """unit -> record of a teacher's embeddings. Errors as in read()."""
        if name in self._overrides:
            return self._overrides[name]
        self.read(name)
        if name not in self._records:
            self._records[name] = ParsedFolder(self._layout.teacher_paths(name).records, read_record)
        return self._records[name].values()

    def override_records(self, name: str, records: dict[str, Record]) -> None:
        """Use these records of a teacher instead of the stored ones."""
        self._overrides[name] = records

    def add_record(self, name: str, path: StoredPath, record: Record) -> None:
        """The embeddings of a unit were committed."""
        self.records(name)
        self._records[name].add(path, record)


class AddedTeacherReader:
    """Random access to the embeddings of the added teachers of one cache.

    frames: records of its frame shards by unit.
    """

    def __init__(
        self,
        documents: AddedTeacherDocuments,
        shards: VerifiedShards,
        frames: dict[str, Record],
        identity: CacheIdentity,
    ):
        self.documents, self._shards, self._frames, self._num_views = documents, shards, frames, identity.num_views

    def names(self) -> tuple[str, ...]:
        """Names of the added teachers, sorted."""
        return self.documents.names()

    def read(self, name: str) -> AddedTeacher:
        """The added teacher of this name. TeacherError if there is none."""
        return self.documents.read(name)

    def records(self, name: str) -> dict[str, Record]:
        """unit -> record of a teacher's embeddings."""
        return self.documents.records(name)

    def lacking(self, name: str) -> list[str]:
        """The committed units that a teacher has no embeddings of yet, in order."""
        return sorted(self._frames.keys() - self.records(name).keys())

    def column(self, name: str, unit: str) -> Shard:
        """The embeddings of a unit as a shard. DamagedError if there are none, or not of the stored frames."""
        width, record = self.read(name).identity.embed_dim, self._committed(name, unit)
        return self._shards.get(TeacherColumn(name), record, self._frames[unit], lambda: width)

    def _committed(self, name: str, unit: str) -> Record:
        """The record of a unit, which is of the stored frames."""
        records = self.records(name)
        if unit not in records or unit not in self._frames:
            message = f"teacher {name!r} has no embeddings of unit {unit}; run add-teacher again"
            raise DamagedError(message, has_advice=True)
        record, frames = records[unit], self._frames[unit]
        if (record.frames_sha256, record.num_rows) != (frames.sha256, frames.num_rows):
            raise DamagedError(f"unit {unit} of teacher {name!r} was computed from other frames than are stored now")
        return record

    def all_embeddings(self, name: str, unit: str) -> np.ndarray:
        """(N, 1+K, D) float16 of one unit. Errors as in column()."""
        rows, views = self._committed(name, unit).num_rows, 1 + self._num_views
        if not rows:
            return np.zeros((0, views, self.read(name).identity.embed_dim), np.float16)
        shard = self.column(name, unit)
        return np.stack([shard.embeddings(0, rows, view) for view in range(views)], axis=1)

    def all_crop_crc32(self, name: str, unit: str) -> np.ndarray:
        """(N, 1+K) uint32 of one unit: of the pixels that the teacher saw. Errors as in column()."""
        rows = self._committed(name, unit).num_rows
        return self.column(name, unit).crop_crc32() if rows else np.zeros((0, 1 + self._num_views), np.uint32)

    def prefetch(self, name: str, units: Iterable[str]) -> None:
        """Begin to read the embeddings of these units, in this order, where they are far away."""
        self._shards.prefetch(TeacherColumn(name), units, self.records(name))
