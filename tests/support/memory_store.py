"""A store of bytes in memory: proves that a back end reaches its shards through the store alone."""

import hashlib

from embedonce.cache.errors import AlreadyCommittedError, DamagedError, StorageError
from embedonce.cache.stores.base import Store, StoredFile


class MemoryStore(Store):
    """reads: (name, offset, size) of every ranged read."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.reads: list[tuple[str, int, int]] = []

    def publish(self, name: str, data: bytes) -> None:
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
        data = self.read(name)
        return len(data), hashlib.sha256(data).hexdigest()

    def exists(self, name: str) -> bool:
        return name in self.files

    def list(self, folder: str, suffix: str = "") -> list[str]:
        return sorted(name for name in self.files if name.rpartition("/")[0] == folder and name.endswith(suffix))

    def move(self, name: str, target: str) -> None:
        if target in self.files:
            raise StorageError(f"{target} exists")
        self.files[target] = self.files.pop(name)

    def remove(self, name: str) -> None:
        self.files.pop(name, None)

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
