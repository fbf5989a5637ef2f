"""The interface of a cache back end: how the rows of one shard are written as bytes, and read back at random.

A back end decides nothing about durability: the cache publishes the bytes, and verifies size and SHA-256 before a shard
is opened. docs/extending.md has a complete example; tests/support/conformance/shard_format.py is the test suite of a
back end.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from embedonce.cache.errors import CacheError, DamagedError
from embedonce.cache.schema import FrameBatch, Segment
from embedonce.cache.stores.base import Store
from embedonce.cache.vectors import embeddings_problem, logits_problem


@dataclass(frozen=True)
class Encoded:
    """A shard as bytes, and what a reader needs to find its rows in them (JSON values, stored in the commit record)."""

    data: bytes
    index: dict


@dataclass(frozen=True)
class ShardShape:
    """The size of a shard according to its record; a shard that differs is refused before memory is allocated.

    num_rows: N. num_views: 1+K. width: D of embeddings, C of logits. num_bytes: size of the file.
    """

    num_rows: int
    num_views: int
    width: int
    num_bytes: int


class Shard(ABC):
    """An open shard of frames, of logits or of an added teacher's embeddings, read at random.

    location: what the store calls the shard, for messages. Must be picklable, and usable again after close(). All
    methods raise DamagedError, which begins with the location, if the content is not as it was written, and
    StorageError if it cannot be read now.
    """

    location: str

    @abstractmethod
    def keys(self) -> list[str]:
        """The key of each row, read from the shard itself."""

    @abstractmethod
    def jpeg(self, row: int) -> bytes:
        """The canonical frame of a row."""

    @abstractmethod
    def embeddings(self, start: int, stop: int, view: int) -> np.ndarray:
        """(stop - start, D) float16 of rows [start, stop), checked with checked_embeddings."""

    @abstractmethod
    def logits(self, start: int, stop: int, view: int) -> np.ndarray:
        """(stop - start, C) float32 of rows [start, stop), before softmax; checked with checked_logits."""

    @abstractmethod
    def columns(self) -> dict[str, np.ndarray]:
        """frame_index and pts (N,) int64, crop_crc32 (N, 1+K) uint32."""

    def crop_crc32(self) -> np.ndarray:
        """(N, 1+K) uint32, of the pixels that the teacher of the embeddings saw."""
        return self.columns()["crop_crc32"]

    def check(self, keys: list[str]) -> None:
        """DamagedError unless the shard has exactly the rows with these keys, in this order."""
        if self.keys() != keys:
            raise DamagedError(f"{self.location} has other rows than its commit record")

    def first_contradiction(self, segments: tuple[Segment, ...]) -> str | None:
        """The name of the first column that differs from these segments of the record; None if all agree."""
        stored = self.columns()
        for name in ("frame_index", "pts"):
            expected = [getattr(segment, name) for segment in segments]
            if not np.array_equal(stored[name], np.concatenate([np.zeros(0, np.int64), *expected])):
                return name
        return None

    def close(self) -> None:
        """Release files and memory; a later call opens them again."""
        return


class ShardFormat(ABC):
    """One way to store the rows of a shard in a file.

    name: of the back end, as in --backend and in the identity of a cache. suffix: of file names, with its dot.
    row_overhead_bytes: what a row takes besides its JPEG and arrays, for estimates of disk space.
    """

    name: str
    suffix: str
    row_overhead_bytes: int = 0

    @abstractmethod
    def encode_frames(self, batch: FrameBatch) -> Encoded:
        """The bytes of a frame shard. Equal batches give equal bytes."""

    @abstractmethod
    def encode_logits(self, keys: list[str], logits: np.ndarray) -> Encoded:
        """The bytes of a logits shard: (N, 1+K, C) float32 for the rows with these keys."""

    def encode_embeddings(self, keys: list[str], embeddings: np.ndarray, crop_crc32: np.ndarray) -> Encoded:
        """The bytes of a shard of an added teacher: (N, 1+K, D) float16 and (N, 1+K) uint32 for the rows with these
        keys. CacheError if this back end does not store added teachers."""
        raise CacheError(f"the back end {self.name!r} stores no added teachers; convert-cache writes another one")

    @abstractmethod
    def open(self, store: Store, name: str, index: dict, shape: ShardShape) -> Shard:
        """A shard in a store. index: what encoding returned, from the commit record; not trusted."""


def checked_embeddings(values: np.ndarray, location: str) -> np.ndarray:
    """The same (…, D) embeddings. DamagedError unless they are finite unit vectors. location: of the shard."""
    if problem := embeddings_problem(values):
        raise DamagedError(f"{location} holds {problem}")
    return values


def checked_logits(values: np.ndarray, location: str) -> np.ndarray:
    """The same logits. DamagedError unless they are finite and within bounds. location: of the shard."""
    if problem := logits_problem(values):
        raise DamagedError(f"{location} holds {problem}")
    return values
