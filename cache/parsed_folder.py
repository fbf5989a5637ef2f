"""The documents of one folder, each parsed once and again only if its file changed."""

from collections.abc import Callable
from typing import Generic, TypeVar

from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.stored_path import StoredPath

T = TypeVar("T")


class ParsedFolder(Generic[T]):
    """The values of all `.json` documents in a folder, by name without suffix, in order of names.

    parse: path of a document -> its value; its errors pass through.
    """

    def __init__(self, folder: StoredPath, parse: Callable[[StoredPath], T]):
        self._folder, self._parse = folder, parse
        self._entries: dict[str, tuple[FileVersion, T]] = {}
        self._is_read = False

    def values(self) -> dict[str, T]:
        """What is known: the folder is read at the first call, and after that only by refresh()."""
        if not self._is_read:
            return self.refresh()
        return {stem: value for stem, (_, value) in self._entries.items()}

    def refresh(self) -> dict[str, T]:
        """List the folder again and parse the documents that are new or were replaced."""
        versions = self._folder.versions(".json")  # before the content: a document replaced now is parsed next time
        entries = self._folder.store.map(lambda found: self._entry(*found), versions.items())
        self._entries = dict(zip((path.stem for path in versions), entries, strict=True))
        self._is_read = True
        return self.values()

    def add(self, path: StoredPath, value: T) -> None:
        """Add a document of this folder that this process has just written, and that has this value."""
        if self._is_read:
            self._entries[path.stem] = (path.version(), value)

    def _entry(self, path: StoredPath, version: FileVersion) -> tuple[FileVersion, T]:
        known = self._entries.get(path.stem)
        return known if known is not None and known[0] == version else (version, self._parse(path))
