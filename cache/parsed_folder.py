"""The documents of one folder, each parsed once and again only if its file changed."""

from collections.abc import Callable
from typing import Generic, TypeVar

from embedonce.cache.collection import no_collection
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.stored_path import StoredPath

T = TypeVar("T")


class ParsedFolder(Generic[T]):
    """The values of all `.json` documents in a folder, by name without suffix, in order of names.

    parse: path of a document -> its value; its errors pass through.
    """

    def __init__(self, folder: StoredPath, parse: Callable[[StoredPath], T]):
        self._folder, self._parse = folder, parse
        self._versions: dict[str, FileVersion] = {}
        self._values: dict[str, T] = {}
        self._is_read, self._is_shared = False, False  # shared: values() has returned this dictionary

    def values(self) -> dict[str, T]:
        """What is known: the folder is read at the first call, and after that only by refresh().

        The same dictionary as long as nothing changes; it is never changed, so that it may be kept.
        """
        if not self._is_read:
            return self.refresh()
        self._is_shared = True
        return self._values

    def refresh(self) -> dict[str, T]:
        """List the folder again and parse the documents that are new or were replaced."""
        versions = self._folder.versions(".json")  # before the content: a document replaced now is parsed next time
        with no_collection():
            values = self._folder.store.map(lambda found: self._value(*found), versions.items())
            self._values = dict(zip((path.stem for path in versions), values, strict=True))
        self._versions = {path.stem: version for path, version in versions.items()}
        self._is_read = True
        return self.values()

    def add(self, path: StoredPath, value: T) -> None:
        """Add a document of this folder that this process has just written, and that has this value."""
        if not self._is_read:
            return
        if self._is_shared:
            self._values, self._is_shared = dict(self._values), False
        self._versions[path.stem], self._values[path.stem] = path.version(), value

    def _value(self, path: StoredPath, version: FileVersion) -> T:
        return self._values[path.stem] if self._versions.get(path.stem) == version else self._parse(path)
