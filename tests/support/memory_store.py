"""A store of bytes in memory: proves that a back end reaches its shards through the store alone."""

from embedonce.cache.errors import AlreadyCommittedError, BusyError, DamagedError
from embedonce.cache.stores.flat import FlatStore, WholeFile


class MemoryStore(FlatStore):
    """reads: (name, offset, size) of every ranged read."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.reads: list[tuple[str, int, int]] = []
        self.locked: dict[str, int] = {}  # name -> how many share its lock; 0 if one holds it alone

    def put_if_absent(self, name: str, data: bytes) -> None:
        if name in self.files:
            raise AlreadyCommittedError(f"{name} exists")
        self.files[name] = data

    def replace(self, name: str, data: bytes) -> None:
        self.files[name] = data

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def names(self) -> list[str]:
        return list(self.files)

    def open(self, name: str) -> "MemoryFile":
        if name not in self.files:
            raise DamagedError(f"{name} is missing")
        return MemoryFile(self, name, self.files[name])

    def delete(self, name: str) -> None:
        self.files.pop(name, None)

    def lock(self, name: str, is_shared: bool = False) -> "MemoryLock":
        if name in self.locked and not (is_shared and self.locked[name]):
            raise BusyError(f"{name} is locked")
        self.locked[name] = self.locked.get(name, 0) + is_shared
        return MemoryLock(self, name)

    def check_writable(self) -> None:
        return

    def location(self, name: str) -> str:
        return f"memory:{name}"


class MemoryFile(WholeFile):
    """A file whose ranged reads are noted in its store."""

    def __init__(self, store: MemoryStore, name: str, data: bytes):
        super().__init__(data, name)
        self._reads, self._name = store.reads, name

    def read_at(self, offset: int, size: int) -> bytes:
        self._reads.append((self._name, offset, size))
        return super().read_at(offset, size)


class MemoryLock:
    def __init__(self, store: MemoryStore, name: str):
        self._store, self._name, self._is_held = store, name, True

    def check(self) -> None:
        return

    def share(self) -> "MemoryLock":
        self._store.locked[self._name] = 1
        return self

    def close(self) -> None:
        if self._is_held and self._store.locked[self._name] > 1:
            self._store.locked[self._name] -= 1
        elif self._is_held:
            del self._store.locked[self._name]
        self._is_held = False
