"""The shards of one cache, each compared with its record once, and few of them open at a time."""

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.shard_format import Shard, ShardShape
from embedonce.cache.errors import DamagedError, StorageError, some
from embedonce.cache.layout import Column, Layout
from embedonce.cache.ledger import Ledger, VerifiedFile
from embedonce.cache.packed_index import unpacked
from embedonce.cache.records import Record
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.stores.base import FileVersion, Store
from embedonce.cache.stores.prefetcher import Prefetcher

MAX_OPEN = 64  # shards that have files open
ATTEMPTS = 3  # to verify a file that changes meanwhile
Key = tuple[Column, str]  # and unit


class _Verified(NamedTuple):
    """A file that has the bytes of its record in this version. store: reads it in no other one, if it can."""

    store: Store
    name: str
    version: FileVersion


class VerifiedShards:
    """Opens shards of all columns. May be pickled, and used after a fork.

    ledger: what was verified, by this and other processes. A file is hashed if it is not in there in its present
    version, which is looked up whenever it is opened.
    """

    def __init__(self, layout: Layout, identity: CacheIdentity):
        self._store, self._layout, self._identity = layout.store, layout, identity
        self._format = BACKENDS[identity.backend]
        self._shards: dict[Key, Shard] = {}  # all that were verified
        self._versions: dict[Key, FileVersion] = {}  # in which they were
        self._recent: dict[Key, None] = {}  # keys of those that may be open, last used last
        self._prefetcher: Prefetcher[Key, _Verified] = Prefetcher()
        self._process = os.getpid()
        self.ledger = Ledger()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_shards": {}, "_versions": {}, "_recent": {}}

    def get(self, column: Column, record: Record, frames: Record, width: Callable[[], int]) -> Shard:
        """The shard of a record. DamagedError if its bytes, shape or keys are not those that were committed.

        frames: the record of the frame shard of the same unit, which has the rows. width:
        returns how many values a row has in each view; called only if the shard is opened for the first time.
        """
        key = (column, record.unit)
        if self._process != os.getpid():  # forked: shards open their files again
            self._process = os.getpid()
            self._recent.clear()
        if key not in self._recent:
            try:
                found = self._prefetcher.take(key) or self._verify(column, record)
                if self._versions.get(key) != found.version:
                    self._shards[key] = self._opened(found, record, frames, width())
                    self._versions[key] = found.version
            except DamagedError as error:
                raise DamagedError(f"shard {error}; it holds the videos {some(frames.video_uids, 5)}") from error
        self._recent[key] = self._recent.pop(key, None)
        if len(self._recent) > MAX_OPEN:
            self._shards[next(iter(self._recent))].close()  # opens itself when it is read again
            del self._recent[next(iter(self._recent))]
        return self._shards[key]

    def prefetch(self, column: Column, units: Iterable[str], records: dict[str, Record]) -> None:
        """Begin to copy and verify those of these shards that were not opened yet, where files are far away."""
        if not self._store.keeps_copies:
            return
        cold = ((column, unit) for unit in units if (column, unit) not in self._shards)
        stored = (key for key in cold if key[1] in records and records[key[1]].num_bytes)
        self._prefetcher.ask(lambda key: self._kept(column, records[key[1]]), stored)

    def close(self) -> None:
        """Close all shards, and forget what is known of them: unless a file says so, each is verified again."""
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()
        self._versions.clear()
        self._recent.clear()
        self._prefetcher.forget()
        self.ledger.forget()

    def _kept(self, column: Column, record: Record) -> "_Verified":
        """As _verify(), and a copy is on this machine if there is room."""
        found = self._verify(column, record)
        found.store.keep(found.name)
        return found

    def _verify(self, column: Column, record: Record) -> "_Verified":
        """DamagedError unless the file, as it is now, has or had the bytes of its record."""
        name = self._layout.shard_name(column, record.unit, self._format.suffix)
        location = self._store.location(name)
        for _ in range(ATTEMPTS):
            version = self._store.version(name)
            store, file = self._store.pinned(name, version), VerifiedFile(location, version, record.sha256)
            with self.ledger.turn(file) as is_verified:
                if not is_verified:
                    _compare(store, name, record)
                    if store.version(name) != version:
                        continue
                    self.ledger.add(file)
                return _Verified(store, name, version)
        raise StorageError(f"{location} changes while it is read; wait until no other program writes into this cache")

    def _opened(self, found: "_Verified", record: Record, frames: Record, width: int) -> Shard:
        location, num_bytes = found.store.location(found.name), record.num_bytes
        keys, views = frames.keys, 1 + self._identity.num_views
        if not record.num_rows == frames.num_rows == len(keys):
            raise DamagedError(f"{location} has {record.num_rows} rows for {len(keys)} frames")
        if any(len(segment.views) != views for segment in frames.segments) or len(keys) * views * width > num_bytes:
            raise DamagedError(f"{location} cannot hold {views} views of {len(keys)} rows with {width} values each")
        shape = ShardShape(record.num_rows, views, width, num_bytes)
        shard = self._format.open(found.store, found.name, unpacked(record.index), shape)
        shard.check(keys)
        return shard


def _compare(store: Store, name: str, record: Record) -> None:
    location = store.location(name)
    num_bytes, sha256 = store.digest(name)
    if sha256 != record.sha256 and store.forget(name):  # the copy on this machine may be what is damaged
        num_bytes, sha256 = store.digest(name)
    if num_bytes != record.num_bytes:
        raise DamagedError(f"{location} has {num_bytes} bytes, not the {record.num_bytes} that were committed")
    if sha256 != record.sha256:
        raise DamagedError(f"{location} is damaged: its SHA-256 is not the one that was committed")
