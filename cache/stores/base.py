"""What a cache needs from the place where it is stored; stores/local.py is a folder of the local file system.

Names are relative POSIX paths such as `frames/000000.h5`; the empty name is the whole cache. Errors are those of
cache.errors, whatever the store is: DamagedError if a file is missing, shorter than expected or not a regular file;
StorageError if it cannot be read or written now, which is no evidence about its content.

A cache is correct on every store that publishes files as a whole and never lets two writers both win one name.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from embedonce.cache.errors import AlreadyCommittedError, DamagedError

T = TypeVar("T")
R = TypeVar("R")

MAX_DOCUMENT_BYTES = 1 << 30  # of one JSON document or label set head: far more than is ever written
BLOCK_BYTES = 1 << 20  # that digest() holds in memory


@dataclass(frozen=True)
class FileVersion:
    """What tells whether a file may have changed: equal versions are the same content. num_bytes: its size.

    tag: what the store knows besides: modification time and inode, or the ETag of an object.
    """

    num_bytes: int
    tag: str


class StoredFile(ABC):
    """A stored file that is open for random access."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the file when it was opened."""

    @abstractmethod
    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset` on. DamagedError if the file ends before."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer of bytes from `offset` on. Errors as in read_at()."""
        buffer[:] = self.read_at(offset, len(buffer))

    @abstractmethod
    def close(self) -> None: ...


class Lock(Protocol):
    """A held lock. It is released by close(), or some time after its process ended, however it ended.

    An exclusive lock has one holder and no others beside it; a shared lock may have any number of holders.
    """

    def check(self) -> None:
        """BusyError if the lock was lost meanwhile, for example because this process was suspended for long."""

    def share(self) -> "Lock":
        """A shared lock in place of this one. BusyError, and nothing is held, if another took it meanwhile."""

    def close(self) -> None: ...


class Store(ABC):
    """Files by name: published as a whole or not at all, and durable when a call returns.

    Must be picklable: a reader is sent to the worker processes of a data loader.
    has_folders: a folder exists without files in it, once it was made. puts_at_once: how many large files a writer
    should publish at the same time: more than one where a put takes long.
    """

    has_folders = True
    puts_at_once = 1

    # -- writing -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def put_if_absent(self, name: str, data: bytes) -> None:
        """Create a file, durably and atomically. AlreadyCommittedError if the name is taken; nothing is replaced."""

    @abstractmethod
    def replace(self, name: str, data: bytes) -> None:
        """Create or replace a file, durably and atomically: readers see the old bytes or the new ones."""

    def replace_version(self, name: str, version: FileVersion, data: bytes) -> None:
        """Replace a file that has this version. AlreadyCommittedError if it is gone or has another one by now.

        Stores that can compare and replace in one step; in others, the writer's lock must keep everyone else out.
        """
        if not self.exists(name) or self.version(name) != version:
            raise AlreadyCommittedError(f"{self.location(name)} was changed by another writer")
        self.replace(name, data)

    @abstractmethod
    def move(self, name: str, target: str) -> None:
        """Rename a file durably. StorageError if the target is taken. If it is interrupted, one name or both exist."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a file durably; no error if there is none."""

    @abstractmethod
    def delete_folder(self, name: str) -> None:
        """Delete everything below a folder, and the folder. Links are deleted and not followed."""

    @abstractmethod
    def make_folder(self, name: str) -> None:
        """Create a folder and its parents durably, where a store has folders; otherwise do nothing."""

    @abstractmethod
    def recover(self, folders: Iterable[str]) -> None:
        """Make what an interrupted writer left in these folders durable, and delete its temporary files.

        Called by a writer that holds the lock, before it does anything else. Not recursive.
        """

    def sync(self, folders: Iterable[str]) -> None:
        """Make durable what other writers have published in these folders, where names are not durable at once."""
        return

    @abstractmethod
    def lock(self, name: str, is_shared: bool = False) -> Lock:
        """Take a lock without waiting. BusyError if another process holds it, unless both share it."""

    @abstractmethod
    def check_writable(self) -> None:
        """StorageError unless files can be written, published without replacing others, and locked. Leaves nothing."""

    # -- reading -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def open(self, name: str) -> StoredFile:
        """Open a file for reading; links are not followed."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether the name is taken by a file or folder. StorageError if that cannot be determined."""

    @abstractmethod
    def is_folder(self, name: str) -> bool:
        """Whether this is a folder, and not a link to one. StorageError if that cannot be determined."""

    @abstractmethod
    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Names of the files and folders directly in a folder, sorted; empty if there is no such folder.

        StorageError if it cannot be listed: an unreadable folder is never treated as an empty one.
        """

    @abstractmethod
    def version(self, name: str) -> FileVersion:
        """The version of a file, without reading its content. Errors as in open()."""

    def pinned(self, name: str, version: FileVersion) -> "Store":
        """This store, in which a file has this version and no other: reads raise StorageError if it was replaced.

        The same store where a version cannot be demanded.
        """
        return self

    def versions(self, folder: str, suffix: str = "") -> dict[str, FileVersion]:
        """name -> version of the files directly in a folder whose names end in suffix, sorted by name."""
        return {name: self.version(name) for name in self.list(folder, suffix)}

    @abstractmethod
    def location(self, name: str) -> str:
        """Where a file is, for messages: its path or URL."""

    def refuse_links(self, folders: Iterable[str]) -> None:
        """DamagedError if one of these folders is a symbolic link, which could lead out of the cache."""
        return

    def parents(self) -> Iterable["Store"]:
        """The stores that this one is inside of, the nearest first: those of its parent folders."""
        return ()

    def is_within(self, other: "Store") -> bool:
        """Whether this store is the other one, or anywhere inside it."""
        return f"{self.location('')}/".startswith(f"{other.location('').rstrip('/')}/")

    def free_bytes(self) -> int | None:
        """Bytes that can still be written; None if there is no limit that the store knows."""
        return None

    def get(self, name: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        """All bytes of a file. DamagedError if there are more than `limit`."""
        file = self.open(name)
        try:
            if file.size > limit:
                raise DamagedError(f"{self.location(name)} has {file.size} bytes, more than the {limit} allowed")
            return file.read_at(0, file.size)
        finally:
            file.close()

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of a file. DamagedError if it ends before."""
        file = self.open(name)
        try:
            return file.read_at(offset, size)
        finally:
            file.close()

    def map(self, read: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """read(item) for each item, in order: several at once, in threads, where files are far away.

        read: reads something from this store. The first of its errors, in order of items, is raised.
        """
        return map(read, items)

    @property
    def keeps_copies(self) -> bool:
        """Whether whole files that are stored elsewhere are kept on this machine, so that they can be read ahead."""
        return False

    def keep(self, name: str) -> None:
        """Keep a whole copy of a file on this machine, where this store keeps any and there is room."""
        return

    def forget(self, name: str) -> bool:
        """Forget what is kept on this machine of a file that is stored elsewhere. Returns whether there was anything.

        For files with unexpected content: they may be read once more then.
        """
        return False

    def digest(self, name: str) -> tuple[int, str]:
        """(bytes, hexadecimal SHA-256) of a file, without holding all of it in memory."""
        sha256 = hashlib.sha256()
        file = self.open(name)
        try:
            for offset in range(0, file.size, BLOCK_BYTES):
                sha256.update(file.read_at(offset, min(BLOCK_BYTES, file.size - offset)))
            return file.size, sha256.hexdigest()
        finally:
            file.close()
