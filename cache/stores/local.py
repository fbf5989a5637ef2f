"""The store in a folder of a local or mounted file system.

Durability is that of cache.commit: temporary file, fsync, link to the final name, fsync of the folder.
"""

import os
from pathlib import Path

from embedonce.cache import commit, files
from embedonce.cache.errors import DamagedError
from embedonce.cache.files import read_error
from embedonce.cache.stores.base import Store, StoredFile


class LocalStore(Store):
    """Files below one folder."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def path(self, name: str) -> Path:
        """The file's path on disk."""
        return self.root / name

    def location(self, name: str) -> str:
        return str(self.path(name))

    def publish(self, name: str, data: bytes) -> None:
        commit.publish(self.path(name), data)

    def replace(self, name: str, data: bytes) -> None:
        commit.replace(self.path(name), data)

    def open(self, name: str) -> "LocalFile":
        return LocalFile(self.path(name))

    def digest(self, name: str) -> tuple[int, str]:
        return files.digest(self.path(name))

    def exists(self, name: str) -> bool:
        return files.exists(self.path(name))

    def list(self, folder: str, suffix: str = "") -> list[str]:
        return [path.relative_to(self.root).as_posix() for path in files.list_folder(self.path(folder), suffix)]

    def move(self, name: str, target: str) -> None:
        commit.make_folder(self.path(target).parent)
        commit.move(self.path(name), self.path(target))

    def remove(self, name: str) -> None:
        commit.remove(self.path(name))

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"


class LocalFile(StoredFile):
    """A regular file, read with pread: positions of other readers are not moved."""

    def __init__(self, path: Path):
        self._path = path
        self._handle, self._size = files.open_regular_file(path)

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._handle, size, offset)
            while len(data) < size and (more := os.pread(self._handle, size - len(data), offset + len(data))):
                data += more  # one call reads at most 2 GiB
        except OSError as error:
            raise read_error(self._path, error) from error
        if len(data) != size:
            raise DamagedError(f"{self._path} ends after {len(data)} of {size} bytes at offset {offset}")
        return data

    def close(self) -> None:
        handle, self._handle = getattr(self, "_handle", -1), -1
        if handle >= 0:
            os.close(handle)

    __del__ = close
