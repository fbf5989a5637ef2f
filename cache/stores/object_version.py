"""Reads one version of an object: a range at once, or all of it as it arrives. Never mixes two versions."""

import asyncio
import functools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from embedonce.cache.errors import StorageError
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.object_requests import ObjectRequests, version_of
from embedonce.cache.stores.request_errors import Failure, Kind, ShortBodyError

_BLOCK = 1 << 20  # bytes of an answer that are handed out at once
_RANGE = 8 << 20  # bytes of a request where answers cannot be read as they arrive


class ObjectVersion:
    """An object in one version. Reads raise StorageError if it has another one by now, or is gone.

    bytes_read: from the store.
    """

    def __init__(self, requests: ObjectRequests, name: str, version: FileVersion):
        self._requests, self._name, self.version = requests, name, version
        self.bytes_read = 0

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from start to stop, in one request."""
        if self._requests.scheme.demands_versions:
            return bytes(self._run(_Answer(self, start, stop, stop - start).next_block))
        return self._run(functools.partial(self._read_between_looks, start=start, stop=stop))

    def blocks(self) -> Iterator[bytes | memoryview]:
        """All bytes, block by block; a block is valid until the next one is asked for."""
        if not self._requests.scheme.demands_versions:
            yield from self._ranges()
            return
        answer = _Answer(self, 0, self.version.num_bytes, _BLOCK)
        try:
            while answer.start < answer.stop:
                yield self._run(answer.next_block)
        finally:
            answer.close()

    def _ranges(self) -> Iterator[bytes]:
        """The next one is read while the last one is used."""
        pending: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(1) as pool:
            for start in range(0, self.version.num_bytes, _RANGE):
                pending.append(pool.submit(self.read, start, min(start + _RANGE, self.version.num_bytes)))
                if len(pending) == 2:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _run(self, call) -> Any:
        """What call(file system, path) returns, after it was repeated if that helps."""
        data = self._requests.attempt(self._name, call)
        if isinstance(data, Failure):
            if data.kind in (Kind.TAKEN, Kind.MISSING, Kind.NO_SUCH_RANGE):
                raise self.changed() from data.error
            raise self._requests.error(self._name, "read", data) from data.error
        self.bytes_read += len(data)
        return data

    def _read_between_looks(self, file_system: Any, path: str, start: int, stop: int) -> bytes:
        """Where a request cannot demand a version, the object must have it before and after."""
        data = file_system.cat_file(path, start=start, end=stop)
        if version_of(file_system.info(path)) != self.version:
            raise self.changed()
        if len(data) != stop - start:
            raise ShortBodyError(f"{len(data)} of {stop - start} bytes arrived")
        return data

    def changed(self) -> StorageError:
        location = self._requests.location(self._name)
        return StorageError(f"{location} changed while it was read; nothing of a cache does, so another program did it")


class _Answer:
    """The bytes of an object from start to stop as they arrive, asked for again from where they were cut off."""

    def __init__(self, source: ObjectVersion, start: int, stop: int, block_bytes: int):
        self._source, self.start, self.stop = source, start, stop
        self._block = memoryview(bytearray(min(block_bytes, stop - start)))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._body: Any = None

    def next_block(self, file_system: Any, path: str) -> memoryview:
        """The next bytes, which may be overwritten by the next call."""
        block = self._block[: self.stop - self.start]
        try:
            self._body = self._body or self._requested(file_system, path)
            num_bytes = asyncio.run_coroutine_threadsafe(_fill(self._body, block), file_system.loop).result()
            if num_bytes < len(block):
                raise ShortBodyError(f"{num_bytes} of {len(block)} bytes arrived")
        except BaseException:
            self.close()
            raise
        self.start += num_bytes
        if self.start == self.stop:
            self.close()
        return block

    def close(self) -> None:
        """End the answer; its connection is used again if it was read to its end."""
        body, self._body = self._body, None
        if body is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(body.close)

    def _requested(self, file_system: Any, path: str) -> Any:
        """The body of a new answer."""
        bucket, key, _ = file_system.split_path(path)
        wanted = {"Range": f"bytes={self.start}-{self.stop - 1}", "IfMatch": self._source.version.tag}
        answer = file_system.call_s3("get_object", Bucket=bucket, Key=key, **wanted)
        self._loop = file_system.loop
        if answer.get("ETag", self._source.version.tag) != self._source.version.tag:  # it has ignored the condition
            self._loop.call_soon_threadsafe(answer["Body"].close)
            raise self._source.changed()
        return answer["Body"]


async def _fill(body: Any, block: memoryview) -> int:
    """Read into the block until it is full or the body ends; returns the number of bytes."""
    filled = 0
    while filled < len(block) and (data := await body.read(len(block) - filled)):
        block[filled : filled + len(data)] = data
        filled += len(data)
    return filled
