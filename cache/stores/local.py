"""The store in a folder of a local or mounted file system.

Durability is that of cache.commit: temporary file, fsync, link to the final name, fsync of the folder.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from embedonce.cache import commit, files
from embedonce.cache.errors import DamagedError
from embedonce.cache.exclusive_rename import folder_lock
from embedonce.cache.files import read_error
from embedonce.cache.stores.base import MAX_DOCUMENT_BYTES, FileVersion, Store, StoredFile

_READS_INTO = hasattr(os, "preadv")  # not on all versions of macOS


class LocalStore(Store):
    """Files below one folder. Two stores of the same folder are equal."""

    def __init__(self, root: Path):
        self.root = Path(root)
        self._prefix = "" if self.root == Path() else os.path.join(self.root, "")

    def __eq__(self, other) -> bool:
        return isinstance(other, LocalStore) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def path(self, name: str) -> Path:
        """The file's path on disk."""
        return self.root / name

    def location(self, name: str) -> str:
        return self._prefix + name if name else str(self.root)

    def put_if_absent(self, name: str, data: bytes) -> None:
        commit.publish(self.path(name), data)

    def replace(self, name: str, data: bytes) -> None:
        commit.replace(self.path(name), data)

    def replace_version(self, name: str, version: FileVersion, data: bytes) -> None:
        with folder_lock(self.path(name).parent):  # which all who do this wait for, where folders can be locked
            super().replace_version(name, version, data)

    def move(self, name: str, target: str) -> None:
        commit.make_folder(self.path(target).parent)
        commit.move(self.path(name), self.path(target))

    def delete(self, name: str) -> None:
        commit.remove(self.path(name))

    def delete_folder(self, name: str) -> None:
        if self.exists(name):
            _delete_folder(self.path(name))

    def make_folder(self, name: str) -> None:
        commit.make_folder(self.path(name))

    def recover(self, folders: Iterable[str]) -> None:
        for folder in map(self.path, folders):
            commit.remove_leftovers(folder)
            commit.sync_folder(folder)  # names that a killed run left may not be on disk yet

    def sync(self, folders: Iterable[str]) -> None:
        for folder in map(self.path, folders):
            commit.sync_folder(folder)

    def lock(self, name: str, is_shared: bool = False) -> commit.Lock:
        return commit.Lock(self.path(name), is_shared)

    def check_writable(self) -> None:
        commit.check_writable(self.root, is_cache=True)

    def open(self, name: str) -> "LocalFile":
        return LocalFile(self.path(name))

    def get(self, name: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        return files.read_file(self.location(name), limit)

    def digest(self, name: str) -> tuple[int, str]:
        return files.digest(self.path(name))

    def exists(self, name: str) -> bool:
        return files.exists(self.path(name))

    def is_folder(self, name: str) -> bool:
        return files.is_folder(self.path(name))

    def list(self, folder: str, suffix: str = "") -> list[str]:
        names = files.list_names(self.path(folder), suffix)
        return [f"{folder}/{name}" for name in names] if folder else names

    def version(self, name: str) -> FileVersion:
        return files.version(self.location(name))

    def refuse_links(self, folders: Iterable[str]) -> None:
        files.refuse_links(map(self.path, folders))

    def parents(self) -> Iterable[Store]:
        return [LocalStore(parent) for parent in self.root.resolve().parents]

    def is_within(self, other: Store) -> bool:
        if not isinstance(other, LocalStore):
            return False
        place = self.root.resolve()
        return any(_is_same(folder, other.root) for folder in (place, *place.parents))

    def free_bytes(self) -> int:
        return shutil.disk_usage(commit.existing_parent(self.root)).free


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:  # one of them does not exist
        return folder == other.resolve()


def _delete_folder(folder: Path) -> None:
    for path in files.list_folder(folder):
        if files.is_folder(path):
            _delete_folder(path)
        else:
            commit.remove(path)
    commit.remove_folder(folder)


class LocalFile(StoredFile):
    """A regular file, read with pread: positions of other readers are not moved."""

    def __init__(self, path: Path):
        self._path = path
        self._handle, self._size = files.open_regular_file(path)

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self._size:
            raise self._ends(offset, size, max(0, self._size - offset))
        try:
            data = os.pread(self._handle, size, offset)
            while len(data) < size and (more := os.pread(self._handle, size - len(data), offset + len(data))):
                data += more  # one call reads at most 2 GiB
        except OSError as error:
            raise read_error(self._path, error) from error
        if len(data) != size:
            raise self._ends(offset, size, len(data))
        return data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if not _READS_INTO or offset + len(buffer) > self._size:
            super().read_into(offset, buffer)
            return
        try:
            num_bytes = os.preadv(self._handle, [buffer], offset)
        except OSError as error:
            raise read_error(self._path, error) from error
        if num_bytes < len(buffer):  # the file ends, or one call cannot read so much
            super().read_into(offset, buffer)

    def _ends(self, offset: int, size: int, num_bytes: int) -> DamagedError:
        return DamagedError(f"{self._path} ends after {num_bytes} of {size} bytes at offset {offset}")

    def close(self) -> None:
        handle, self._handle = getattr(self, "_handle", -1), -1
        if handle >= 0:
            os.close(handle)

    __del__ = close
