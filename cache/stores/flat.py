"""The part of a store that follows from whole files by name: for stores that know neither folders nor ranges."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable

from embedonce.cache.errors import AlreadyCommittedError, DamagedError, StorageError
from embedonce.cache.stores.base import FileVersion, Store, StoredFile


class FlatStore(Store):
    """A store whose files are read whole. A folder exists while there are files below it."""

    has_folders = False

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """All bytes of a file; None if there is no such file. StorageError if it cannot be read now."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """The names of all files. StorageError if they cannot be listed now."""

    def open(self, name: str) -> "WholeFile":
        data = self.read(name)
        if data is None:
            raise DamagedError(f"{self.location(name)} is missing")
        return WholeFile(data, self.location(name))

    def version(self, name: str) -> FileVersion:
        data = self.get(name)
        return FileVersion(len(data), hashlib.sha256(data).hexdigest())

    def exists(self, name: str) -> bool:
        return self.is_folder(name) or name in self.names()

    def is_folder(self, name: str) -> bool:
        return any(file.startswith(f"{name}/") for file in self.names())

    def list(self, folder: str, suffix: str = "") -> list[str]:
        start = f"{folder}/" if folder else ""
        inside = {start + name[len(start) :].partition("/")[0] for name in self.names() if name.startswith(start)}
        return sorted(name for name in inside if name.endswith(suffix))

    def move(self, name: str, target: str) -> None:
        try:
            self.put_if_absent(target, self.get(name))
        except AlreadyCommittedError as error:
            raise StorageError(f"{self.location(name)} cannot be moved: {self.location(target)} exists") from error
        self.delete(name)

    def delete_folder(self, name: str) -> None:
        for file in list(self.names()):
            if file.startswith(f"{name}/") or not name:
                self.delete(file)

    def make_folder(self, name: str) -> None:
        return

    def recover(self, folders: Iterable[str]) -> None:
        return


class WholeFile(StoredFile):
    """A file whose bytes are in memory."""

    def __init__(self, data: bytes, location: str):
        self._data, self._location = data, location

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, size: int) -> bytes:
        data = self._data[offset : offset + size]
        if len(data) != size:
            raise DamagedError(f"{self._location} ends after {len(data)} of {size} bytes at offset {offset}")
        return data

    def close(self) -> None:
        return
