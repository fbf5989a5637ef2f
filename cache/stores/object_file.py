"""Random access to an object: nearby ranges are read at once, and never two versions of the object are mixed."""

import hashlib
import threading
from collections.abc import Iterable
from typing import NamedTuple

from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.stores.base import FileVersion, StoredFile
from embedonce.cache.stores.copy_file import Copy
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_version import ObjectVersion

_SMALLEST_READ = 256 << 10  # bytes of a request at least: fewer take no less time
_LARGEST_READ = 8 << 20  # of a request that reads ahead
_NEARBY = 64 << 10  # bytes that may be skipped by reads that are called consecutive
_KEPT_SPANS = 8


class _Span(NamedTuple):
    start: int
    data: bytes

    @property
    def stop(self) -> int:
        return self.start + len(self.data)


class ObjectFile(StoredFile):
    """An object in one version. Reads fail with a StorageError if it was replaced by another one.

    copies: where whole objects are kept once more than a third of one was read; None keeps none.
    """

    def __init__(self, requests: ObjectRequests, name: str, version: FileVersion, copies: LocalCopies | None = None):
        self._object, self._copies = ObjectVersion(requests, name, version), copies
        self._lock = threading.Lock()
        self._spans: list[_Span] = []
        self._ahead = _SMALLEST_READ
        self.location, self.version = requests.location(name), version
        self.kept = copies.open(self.location, version) if copies else None

    @property
    def size(self) -> int:
        return self.version.num_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self.size:
            rest = max(0, self.size - offset)
            raise DamagedError(f"{self.location} ends after {rest} of {size} bytes at offset {offset}")
        if size == 0:
            return b""
        with self._lock:
            copy = self.copy() if self._object.bytes_read > self.size // 3 else self.kept
            if copy is not None:
                return copy.read_at(offset, size)
            span = self._found(offset, size) or self._read_span(offset, size)
        return span.data[offset - span.start : offset - span.start + size]

    def copy(self) -> Copy | None:
        """The local copy of the whole object, which is made if there is none. None if none are kept, or no room is."""
        if self._copies and self.kept is None:
            self.kept = self._copies.make(self.location, self.version, self._object.blocks())
            self._copies = self._copies if self.kept else None
        return self.kept

    def digest(self) -> str:
        """The hexadecimal SHA-256 of the object, which is read once, through a local copy if they are kept."""
        for _ in range(2):
            copy = self.copy()
            if copy is None or self._copies is None:
                return _sha256(self._object.blocks())
            if digest := copy.digest():
                return digest
            copy.close()
            self.kept = None
            self._copies.drop(self.location, self.version)
        raise StorageError(f"a local copy of {self.location} was damaged twice; use another --local-cache-dir")

    def close(self) -> None:
        if self.kept:
            self.kept.close()
        self._spans, self.kept = [], None

    def _found(self, offset: int, size: int) -> _Span | None:
        return next((span for span in self._spans if span.start <= offset and offset + size <= span.stop), None)

    def _read_span(self, offset: int, size: int) -> _Span:
        """Read at least these bytes, and more the longer the object has been read from front to back."""
        is_next = bool(self._spans) and self._spans[-1].start < offset <= self._spans[-1].stop + _NEARBY
        self._ahead = min(2 * self._ahead, _LARGEST_READ) if is_next else _SMALLEST_READ
        stop = min(self.size, offset + max(size, self._ahead))
        span = _Span(offset, self._object.read(offset, stop))
        self._spans = [*self._spans[1 - _KEPT_SPANS :], span]
        return span


def _sha256(blocks: Iterable[bytes | memoryview]) -> str:
    sha256 = hashlib.sha256()
    for block in blocks:
        sha256.update(block)
    return sha256.hexdigest()
