"""A store of bytes in memory: proves that a back end reaches its shards through the store alone."""

import hashlib
from collections.abc import Iterable

from embedonce.cache.errors import AlreadyCommittedError, BusyError, DamagedError, StorageError
from embedonce.cache.stores.base import FileVersion, Store, StoredFile


class MemoryStore(Store):
    """reads: (name, offset, size) of every ranged read."""

    has_folders = False

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.reads: list[tuple[str, int, int]] = []
        self.locked: set[str] = set()

    def put_if_absent(self, name: str, data: bytes) -> None:
        if name in self.files:
            raise AlreadyCommittedError(f"{name} exists")
        self.files[name] = data

    def replace(self, name: str, data: bytes) -> None:
        self.files[name] = data

    def open(self, name: str) -> "MemoryFile":
        if name not in self.files:
            raise DamagedError(f"{name} is missing")
        return MemoryFile(self, name)

    def digest(self, name: str) -> tuple[int, str]:
        data = self.get(name)
        return len(data), hashlib.sha256(data).hexdigest()

    def exists(self, name: str) -> bool:
        return name in self.files or self.is_folder(name)

    def list(self, folder: str, suffix: str = "") -> list[str]:
        start = f"{folder}/" if folder else ""
        inside = {start + name[len(start) :].partition("/")[0] for name in self.files if name.startswith(start)}
        return sorted(name for name in inside if name.endswith(suffix))

    def move(self, name: str, target: str) -> None:
        if target in self.files:
            raise StorageError(f"{target} exists")
        self.files[target] = self.files.pop(name)

    def delete(self, name: str) -> None:
        self.files.pop(name, None)

    def delete_folder(self, name: str) -> None:
        self.files = {file: data for file, data in self.files.items() if not file.startswith(f"{name}/")}

    def make_folder(self, name: str) -> None:
        return

    def recover(self, folders: Iterable[str]) -> None:
        return

    def lock(self, name: str) -> "MemoryLock":
        if name in self.locked:
            raise BusyError(f"{name} is locked")
        self.locked.add(name)
        return MemoryLock(self, name)

    def check_writable(self) -> None:
        return

    def is_folder(self, name: str) -> bool:
        return any(file.startswith(f"{name}/") for file in self.files)

    def version(self, name: str) -> FileVersion:
        num_bytes, sha256 = self.digest(name)
        return FileVersion(num_bytes, sha256)

    def location(self, name: str) -> str:
        return f"memory:{name}"


class MemoryFile(StoredFile):
    def __init__(self, store: MemoryStore, name: str):
        self._store, self._name, self._data = store, name, store.files[name]

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, size: int) -> bytes:
        self._store.reads.append((self._name, offset, size))
        data = self._data[offset : offset + size]
        if len(data) != size:
            raise DamagedError(f"{self._name} ends after {len(data)} of {size} bytes at offset {offset}")
        return data

    def close(self) -> None:
        return


class MemoryLock:
    def __init__(self, store: MemoryStore, name: str):
        self._store, self._name = store, name

    def check(self) -> None:
        return

    def close(self) -> None:
        self._store.locked.discard(self._name)
