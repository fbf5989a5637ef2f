"""Adding a teacher to a cache: its document first, then shards with its embeddings of the stored frames."""

from functools import partial

import numpy as np

from embedonce.cache import documents
from embedonce.cache.added_teachers.documents import (
    AddedTeacher,
    added_teacher_document,
    added_teacher_from,
    check_addable,
    check_name,
    refuse_lost_document,
)
from embedonce.cache.catalog import Catalog
from embedonce.cache.layout import Layout, TeacherColumn
from embedonce.cache.schema import CacheIdentity, TeacherIdentity
from embedonce.cache.shard_writer import ShardWriter
from embedonce.cache.vectors import embeddings_problem


class AddedTeacherWriter:
    """Write access to the added teachers of one cache, whose lock the caller holds alone."""

    def __init__(self, layout: Layout, identity: CacheIdentity, catalog: Catalog, shards: ShardWriter):
        self._layout, self._identity, self._catalog, self._shards = layout, identity, catalog, shards

    def create(self, name: str, identity: TeacherIdentity) -> None:
        """Publish an added teacher without embeddings, unless it exists.

        TeacherError if the name is another one's, or the cache has this teacher under another name; DamagedError if its
        document is lost.
        """
        wanted, known = AddedTeacher(check_name(name), identity), self._catalog.teachers
        check_addable(wanted, self._identity, [known.read(other) for other in known.names()], self._layout.root)
        path = self._layout.teacher_document(name)
        if path.exists():
            return
        refuse_lost_document(self._layout, name)
        for folder in self._layout.teacher_paths(name):
            folder.make_folder()
        check = partial(added_teacher_from, num_views=self._identity.num_views)
        path.put_if_absent(documents.serialize_verified(added_teacher_document(wanted), check, str(path)))

    def write_settings(self, name: str, text: str) -> None:
        """Write the settings of the command that adds a teacher, beside its document."""
        self._layout.teacher_settings(name).replace(text.encode())

    def commit(self, name: str, unit: str, embeddings: np.ndarray, crop_crc32: np.ndarray, provenance: dict) -> None:
        """Publish the embeddings of a committed unit: its shard, then its record.

        embeddings (N, 1+K, D) float16, unit length; crop_crc32 (N, 1+K) uint32, of the pixels that the teacher saw.
        """
        frames, width = self._catalog.frames.values()[unit], self._catalog.teachers.read(name).identity.embed_dim
        shape = (frames.num_rows, 1 + self._identity.num_views)
        if embeddings.dtype != np.float16 or embeddings.shape != (*shape, width):
            raise ValueError(f"embeddings must be {(*shape, width)} float16, got {embeddings.shape} {embeddings.dtype}")
        if crop_crc32.dtype != np.uint32 or crop_crc32.shape != shape:
            raise ValueError(f"crop_crc32 must be {shape} uint32, got {crop_crc32.shape} {crop_crc32.dtype}")
        if problem := embeddings_problem(embeddings):
            raise ValueError(f"unit {unit} cannot be committed with {problem}")
        record = self._shards.commit_embeddings(name, frames, embeddings, crop_crc32, provenance)
        self._catalog.teachers.add_record(name, self._shards.record_path(TeacherColumn(name), unit), record)
