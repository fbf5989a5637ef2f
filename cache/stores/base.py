"""What a cache needs from the place where its shards are stored; stores/local.py is a folder of the local file system.

Names are relative POSIX paths such as `frames/000000.h5`. Errors are those of cache.errors, whatever the store is:
DamagedError if a file is missing, shorter than expected or not a regular file; StorageError if it cannot be read now,
which is no evidence about its content.
"""

import io
from abc import ABC, abstractmethod


class StoredFile(ABC):
    """A stored file that is open for random access."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the file when it was opened."""

    @abstractmethod
    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset` on. DamagedError if the file ends before."""

    @abstractmethod
    def close(self) -> None: ...


class Store(ABC):
    """Files by name: published as a whole or not at all, and durable when a call returns.

    Must be picklable: a reader is sent to the worker processes of a data loader.
    """

    @abstractmethod
    def publish(self, name: str, data: bytes) -> None:
        """Create a file, durably and atomically. AlreadyCommittedError if the name is taken; nothing is replaced."""

    @abstractmethod
    def replace(self, name: str, data: bytes) -> None:
        """Create or replace a file, durably and atomically: readers see the old bytes or the new ones."""

    @abstractmethod
    def open(self, name: str) -> StoredFile:
        """Open a file for reading; links are not followed."""

    @abstractmethod
    def digest(self, name: str) -> tuple[int, str]:
        """(bytes, hexadecimal SHA-256) of a file, without holding all of it in memory."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether the name is taken. StorageError if that cannot be determined."""

    @abstractmethod
    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Names of the files and folders directly in a folder, sorted; empty if there is no such folder."""

    @abstractmethod
    def move(self, name: str, target: str) -> None:
        """Rename a file durably. StorageError if the target is taken."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete a file durably; no error if there is none."""

    @abstractmethod
    def location(self, name: str) -> str:
        """Where a file is, for messages: its path or URL."""

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        file = self.open(name)
        try:
            return file.read_at(0, file.size)
        finally:
            file.close()


class StoredFileIO(io.RawIOBase):
    """A stored file as a raw file object, for libraries that read one. Closing it closes the stored file."""

    def __init__(self, file: StoredFile):
        super().__init__()
        self._source, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        size = max(0, min(len(buffer), self._source.size - self._position))
        buffer[:size] = self._source.read_at(self._position, size)
        self._position += size
        return size

    def close(self) -> None:
        self._source.close()
        super().close()
