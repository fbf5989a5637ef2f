"""A name in a store, used like a path: the folders and files of a cache, wherever it is stored."""

from dataclasses import dataclass

from embedonce.cache.stores.base import MAX_DOCUMENT_BYTES, FileVersion, Store


@dataclass(frozen=True)
class StoredPath:
    """A file or folder of a store. `str()` is its location, for messages.

    relative: its name in the store, such as `plan/000000.json`; empty for the whole store. Errors of all methods are
    those of the store.
    """

    store: Store
    relative: str = ""

    def __str__(self) -> str:
        return self.store.location(self.relative)

    def __truediv__(self, name: str) -> "StoredPath":
        return StoredPath(self.store, f"{self.relative}/{name}" if self.relative else name)

    def __lt__(self, other: "StoredPath") -> bool:
        return self.relative < other.relative

    @property
    def name(self) -> str:
        return self.relative.rpartition("/")[2]

    @property
    def stem(self) -> str:
        name = self.name
        return name.rpartition(".")[0] or name

    @property
    def parent(self) -> "StoredPath":
        return StoredPath(self.store, self.relative.rpartition("/")[0])

    def list(self, suffix: str = "") -> list["StoredPath"]:
        """The files and folders in this folder whose names end in suffix, sorted; empty if there is no such folder."""
        return [StoredPath(self.store, name) for name in self.store.list(self.relative, suffix)]

    def exists(self) -> bool:
        return self.store.exists(self.relative)

    def is_folder(self) -> bool:
        return self.store.is_folder(self.relative)

    def get(self, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        return self.store.get(self.relative, limit)

    def version(self) -> FileVersion:
        return self.store.version(self.relative)

    def versions(self, suffix: str = "") -> dict["StoredPath", FileVersion]:
        """The versions of the files in this folder whose names end in suffix, sorted by name."""
        return {StoredPath(self.store, name): of for name, of in self.store.versions(self.relative, suffix).items()}

    def put_if_absent(self, data: bytes) -> None:
        self.store.put_if_absent(self.relative, data)

    def replace(self, data: bytes) -> None:
        self.store.replace(self.relative, data)

    def move(self, target: "StoredPath") -> None:
        self.store.move(self.relative, target.relative)

    def delete(self) -> None:
        self.store.delete(self.relative)

    def delete_folder(self) -> None:
        self.store.delete_folder(self.relative)

    def make_folder(self) -> None:
        self.store.make_folder(self.relative)
