"""Random access to an object: nearby ranges are read at once, and never two versions of the object are mixed."""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.stores.base import FileVersion, StoredFile
from embedonce.cache.stores.local_copies import Copy, LocalCopies
from embedonce.cache.stores.object_requests import ObjectRequests, version_of
from embedonce.cache.stores.request_errors import Failure, Kind, ShortBodyError

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
    """An open object. Reads fail with a StorageError if the object was replaced after it was opened.

    copies: where whole objects are kept once more than a third of one was read; None keeps none.
    """

    def __init__(self, requests: ObjectRequests, name: str, copies: LocalCopies | None = None):
        self._requests, self._name, self._copies = requests, name, copies
        self._lock = threading.Lock()
        self._handle: Any = None
        self._process = -1
        self._spans: list[_Span] = []
        self._ahead = _SMALLEST_READ
        self.version = self._open()
        self._bytes_read = 0  # from the store
        self._copy = copies.open(self.location, self.version) if copies else None

    @property
    def location(self) -> str:
        return self._requests.location(self._name)

    @property
    def size(self) -> int:
        return self.version.num_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self.size:
            rest = max(0, self.size - offset)
            raise DamagedError(f"{self.location} ends after {rest} of {size} bytes at offset {offset}")
        if size == 0:
            return b""
        if (kept := self._copy) is not None:
            return kept.read_at(offset, size)
        with self._lock:
            copy = self.copy() if self._bytes_read > self.size // 3 else self._copy
            if copy is not None:
                return copy.read_at(offset, size)
            span = self._kept(offset, size) or self._read_span(offset, size)
        return span.data[offset - span.start : offset - span.start + size]

    def copy(self) -> Copy | None:
        """The local copy of the whole object, which is made if there is none. None if none are kept, or no room is."""
        if self._copies and self._copy is None:
            self._copy = self._copies.make(self.location, self.version, self._blocks())
            self._copies = self._copies if self._copy else None
        return self._copy

    def digest(self) -> str:
        """The hexadecimal SHA-256 of the object, which is read once, through a local copy if they are kept."""
        for _ in range(2):
            copy = self.copy()
            if copy is None or self._copies is None:
                return _sha256(self._blocks())
            if digest := copy.digest():
                return digest
            copy.close()
            self._copy = None
            self._copies.drop(self.location, self.version)
        raise StorageError(f"a local copy of {self.location} was damaged twice; use another --local-cache-dir")

    def _blocks(self) -> Iterator[bytes]:
        """The bytes of the object, block by block; the next one is read while the last one is used."""
        pending: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(1) as pool:
            for start in range(0, self.size, _LARGEST_READ):
                pending.append(pool.submit(self._read_range, start, min(start + _LARGEST_READ, self.size)))
                if len(pending) == 2:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _read_range(self, start: int, stop: int) -> bytes:
        """The bytes from start to stop, in one request and without keeping them."""
        if self._process != os.getpid() or (self._handle is None and self._requests.scheme.checks_reads):
            self._reopen()
        data = self._requests.attempt(self._name, lambda fs, path: self._fetch(fs, path, start, stop))
        if isinstance(data, Failure):
            if data.kind in (Kind.TAKEN, Kind.MISSING, Kind.NO_SUCH_RANGE):
                raise self._changed() from data.error
            raise self._requests.error(self._name, "read", data) from data.error
        self._bytes_read += len(data)
        return data

    def close(self) -> None:
        if self._copy:
            self._copy.close()
        self._spans, self._handle, self._copy = [], None, None

    def _open(self) -> FileVersion:
        """Learn the object's version. Where the client library can, all later reads demand this version."""
        info = self._requests.run(self._name, "read", self._opened)
        self._process = os.getpid()
        if info["type"] != "file":
            raise DamagedError(f"{self.location} is not a file")
        return version_of(info)

    def _opened(self, file_system: Any, path: str) -> dict:
        if not self._requests.scheme.checks_reads:
            return file_system.info(path)
        self._handle = file_system.open(path, "rb", cache_type="none")
        return self._handle.details

    def _fetch(self, file_system: Any, path: str, start: int, stop: int) -> bytes:
        if self._requests.scheme.checks_reads:
            self._handle.seek(start)
            data = self._handle.read(stop - start)
        else:
            data = file_system.cat_file(path, start=start, end=stop)
            if version_of(file_system.info(path)) != self.version:
                raise self._changed()
        if len(data) != stop - start:
            raise ShortBodyError(f"{len(data)} of {stop - start} bytes arrived")
        return data

    def _kept(self, offset: int, size: int) -> _Span | None:
        return next((span for span in self._spans if span.start <= offset and offset + size <= span.stop), None)

    def _read_span(self, offset: int, size: int) -> _Span:
        """Read at least these bytes, and more the longer the object has been read from front to back."""
        is_next = bool(self._spans) and self._spans[-1].start < offset <= self._spans[-1].stop + _NEARBY
        self._ahead = min(2 * self._ahead, _LARGEST_READ) if is_next else _SMALLEST_READ
        stop = min(self.size, offset + max(size, self._ahead))
        span = _Span(offset, self._read_range(offset, stop))
        self._spans = [*self._spans[1 - _KEPT_SPANS :], span]
        return span

    def _reopen(self) -> None:
        """Open the object again in a child process."""
        if self._open() != self.version:
            raise self._changed()

    def _changed(self) -> StorageError:
        return StorageError(
            f"{self.location} changed while it was read; nothing of a cache does, so another program did it"
        )


def _sha256(blocks: Iterator[bytes]) -> str:
    sha256 = hashlib.sha256()
    for block in blocks:
        sha256.update(block)
    return sha256.hexdigest()
