"""The shards of one cache, each compared with its record once, and few of them open at a time."""

import os
from collections.abc import Callable, Iterable

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.shard_format import Shard, ShardShape
from embedonce.cache.errors import DamagedError, StorageError, some
from embedonce.cache.layout import Layout
from embedonce.cache.ledger import Ledger, VerifiedFile
from embedonce.cache.packed_index import unpacked
from embedonce.cache.records import Record
from embedonce.cache.schema import CacheIdentity

MAX_OPEN = 64  # shards that have files open
ATTEMPTS = 3  # to verify a file that changes meanwhile


class VerifiedShards:
    """Opens shards of frames and of logits. May be pickled, and used after a fork.

    ledger: what was verified, by this and other processes. A file is hashed if it is not in there in its present
    version, which is looked up whenever it is opened.
    """

    def __init__(self, layout: Layout, identity: CacheIdentity):
        self._store, self._layout, self._identity = layout.store, layout, identity
        self._format = BACKENDS[identity.backend]
        self._shards: dict[tuple[str | None, str], Shard] = {}  # all that were verified
        self._recent: dict[tuple[str | None, str], None] = {}  # keys of those that may be open, last used last
        self._process = os.getpid()
        self.ledger = Ledger()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_shards": {}, "_recent": {}}

    def get(self, label_set: str | None, record: Record, frames: Record, width: Callable[[], int]) -> Shard:
        """The shard of a record. DamagedError if its bytes, shape or keys are not those that were committed.

        label_set: None for frames. frames: the record of the frame shard of the same unit, which has the rows. width:
        returns how many values a row has in each view; called only if the shard is opened for the first time.
        """
        key = (label_set, record.unit)
        if self._process != os.getpid():  # forked: shards open their files again
            self._process = os.getpid()
            self._recent.clear()
        if key not in self._recent:
            name = self._layout.shard_name(label_set, record.unit, self._format.suffix)
            try:
                self._verify(name, record)
                if key not in self._shards:
                    self._shards[key] = self._opened(name, record, frames, width())
            except DamagedError as error:
                raise DamagedError(f"shard {error}; it holds the videos {some(frames.video_uids, 5)}") from error
        self._recent[key] = self._recent.pop(key, None)
        if len(self._recent) > MAX_OPEN:
            self._shards[next(iter(self._recent))].close()  # opens itself when it is read again
            del self._recent[next(iter(self._recent))]
        return self._shards[key]

    def prefetch(self, label_set: str | None, units: Iterable[str]) -> None:
        """Begin to read those of these shards that were not opened yet, where files are far away."""
        cold = (unit for unit in units if (label_set, unit) not in self._shards)
        self._store.prefetch(self._layout.shard_name(label_set, unit, self._format.suffix) for unit in cold)

    def close(self) -> None:
        """Close all shards, and forget what is known of them: unless a file says so, each is verified again."""
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()
        self._recent.clear()
        self.ledger.forget()

    def _verify(self, name: str, record: Record) -> None:
        """DamagedError unless the file, as it is now, has or had the bytes of its record."""
        location = self._store.location(name)
        for _ in range(ATTEMPTS):
            file = VerifiedFile(location, self._store.version(name), record.sha256)
            with self.ledger.turn(file) as is_verified:
                if is_verified:
                    return
                self._compare(name, record)
                if self._store.version(name) == file.version:
                    self.ledger.add(file)
                    return
        raise StorageError(f"{location} changes while it is read; wait until no other program writes into this cache")

    def _compare(self, name: str, record: Record) -> None:
        location = self._store.location(name)
        num_bytes, sha256 = self._store.digest(name)
        if sha256 != record.sha256 and self._store.forget(name):  # the copy on this machine may be what is damaged
            num_bytes, sha256 = self._store.digest(name)
        if num_bytes != record.num_bytes:
            raise DamagedError(f"{location} has {num_bytes} bytes, not the {record.num_bytes} that were committed")
        if sha256 != record.sha256:
            raise DamagedError(f"{location} is damaged: its SHA-256 is not the one that was committed")

    def _opened(self, name: str, record: Record, frames: Record, width: int) -> Shard:
        location, num_bytes = self._store.location(name), record.num_bytes
        keys, views = frames.keys, 1 + self._identity.num_views
        if not record.num_rows == frames.num_rows == len(keys):
            raise DamagedError(f"{location} has {record.num_rows} rows for {len(keys)} frames")
        if any(len(segment.views) != views for segment in frames.segments) or len(keys) * views * width > num_bytes:
            raise DamagedError(f"{location} cannot hold {views} views of {len(keys)} rows with {width} values each")
        shape = ShardShape(record.num_rows, views, width, num_bytes)
        shard = self._format.open(self._store, name, unpacked(record.index), shape)
        shard.check(keys)
        return shard
