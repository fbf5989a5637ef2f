"""A cache as it is searched: its rows, their vectors by the teacher or by a student, and where the index is kept."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedonce.cache import commit
from embedonce.cache.errors import StorageError
from embedonce.cache.identity_document import identity_document
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import refuse_nesting
from embedonce.pipeline.clips.open_cache import default_folder
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.search.index_parts import HEAD, ReadVectors
from embedonce.pipeline.search.moments import Frames
from embedonce.pipeline.search.row_index import RowIndex, forget_removed, open_index
from embedonce.pipeline.search.rows import RowTable
from embedonce.pipeline.search.settings import SearchConfig
from embedonce.pipeline.search.stored_vectors import StoredTexts

if TYPE_CHECKING:
    from embedonce.pipeline.search.student_rows import StudentEmbedder

TEACHER_ROWS, STUDENT_ROWS = 1 << 18, 1 << 13  # of a part of the index: a student embeds far more slowly


@dataclass
class SearchedCache:
    """Opens the index of a cache when it is needed, and again after parts of it were found damaged."""

    config: SearchConfig
    reader: CacheReader

    def __post_init__(self):
        self._forget_removed()
        if not self.reader.num_rows:
            raise InputError(f"{self.reader.cache_dir} has no frames to search: run extract-teacher first")

    @cached_property
    def root(self) -> Path:
        """The folder of all indexes, outside of any cache."""
        folder = self.config.index_dir or default_folder() / "search"
        refuse_nesting(folder / "index")
        return folder

    @cached_property
    def labels(self) -> LabelSet | None:
        """The chosen label set, or the only one."""
        if self.config.label_set is None and self.config.split is None and len(self.reader.label_sets()) != 1:
            return None
        return self.reader.label_set(self.config.label_set)

    @cached_property
    def texts(self) -> StoredTexts:
        return StoredTexts.of(self.root, self.reader.identity.teacher)

    @cached_property
    def student(self) -> "StudentEmbedder | None":
        """The student whose embeddings are searched."""
        if self.config.student is None:
            return None
        from embedonce.pipeline.search.student_rows import StudentEmbedder

        return StudentEmbedder(self.config.student, self.reader, self.config.device)

    @cached_property
    def index(self) -> RowIndex:
        read: ReadVectors = self._teacher_vectors if self.student is None else self.student.unit
        rows_per_part = TEACHER_ROWS if self.student is None else STUDENT_ROWS
        records, width = self.reader.records, self.reader.identity.teacher.embed_dim
        with self._advice():
            return open_index(self.folder, records, width, read, rows_per_part)

    def _forget_removed(self) -> None:
        """Delete what was removed from the cache from all its indexes, also from those that are not searched now."""
        width = self.reader.identity.teacher.embed_dim
        with self._advice():
            for head in self.root.glob(f"{self._name}*/{HEAD}"):
                forget_removed(head.parent, self.reader.records, width)

    @contextlib.contextmanager
    def _advice(self) -> Iterator[None]:
        """Errors of writing the index say what to do."""
        try:
            yield
        except StorageError as error:
            if str(self.root) not in str(error) or "--index-dir" in str(error):  # not of the index, or with advice
                raise
            raise StorageError(f"{error}; choose another folder with --index-dir") from error

    @cached_property
    def table(self) -> RowTable:
        return RowTable.of(self.index.units, self.reader.records)

    @cached_property
    def frames(self) -> Frames:
        return Frames(self.reader, self.table, self.labels)

    def reopen(self) -> None:
        """Forget the index and what follows from it: it changed on disk."""
        for name in ("index", "table", "frames"):
            with contextlib.suppress(AttributeError):
                delattr(self, name)

    @cached_property
    def folder(self) -> Path:
        """The folder of the index: of the teacher's rows, or of the student's, which is named by its bytes, too."""
        return self.root / (self._name if self.student is None else f"{self._name}-{self.student.digest[:24]}")

    @cached_property
    def _name(self) -> str:
        """With which the names of all indexes of this cache begin: of its place and identity."""
        identity, place = identity_document(self.reader.identity), str(_absolute(self.reader.cache_dir))
        return commit.sha256(commit.to_json([identity, place]))[:24]

    def _teacher_vectors(self, unit: str) -> np.ndarray:
        return self.reader.all_embeddings(unit)[:, 0]


def _absolute(place: Path | str) -> Path | str:
    return place.resolve() if isinstance(place, Path) else place
