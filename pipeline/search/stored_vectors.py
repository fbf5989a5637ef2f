"""Text vectors that searches have computed, kept beside the search indexes: a teacher is loaded once per text."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from embedonce.cache import commit
from embedonce.cache.schema import TeacherIdentity
from embedonce.cache.vectors import embeddings_problem

SUFFIX = ".f32"


@dataclass(frozen=True)
class StoredTexts:
    """The vectors of texts by one teacher, one file each, which ends in the SHA-256 of the vector."""

    folder: Path
    width: int

    @classmethod
    def of(cls, root: Path, teacher: TeacherIdentity) -> "StoredTexts":
        """Those of a teacher in the folder of all indexes."""
        return cls(root / "texts" / commit.sha256(commit.to_json(asdict(teacher)))[:24], teacher.embed_dim)

    def find(self, text: str) -> np.ndarray | None:
        """(D,) float32; None if it is not stored, or the file is damaged."""
        try:
            data = self._path(text).read_bytes()
        except OSError:
            return None
        values, digest = data[:-32], data[-32:]
        if len(values) != 4 * self.width or hashlib.sha256(values).digest() != digest:
            return None
        vector = np.frombuffer(values, "<f4").astype(np.float32)
        return vector if embeddings_problem(vector) is None else None

    def add(self, text: str, vector: np.ndarray) -> None:
        """Store the (D,) vector of a text. StorageError if the folder cannot be written."""
        values = vector.astype("<f4").tobytes()
        commit.make_folder(self.folder)
        commit.replace(self._path(text), values + hashlib.sha256(values).digest())

    def _path(self, text: str) -> Path:
        return self.folder / f"{commit.sha256(text.encode('utf-8', 'surrogatepass'))}{SUFFIX}"
