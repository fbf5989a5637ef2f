"""Large JSON files read entry by entry, in memory that does not grow with the file.

Knows JSON; knows nothing of what the entries must hold. Files are not trusted: nesting and the size of one entry are
bounded before the parser (yajl, through ijson) sees them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import ijson
import numpy as np

from embedonce.models.plain_files import open_plain
from embedonce.pipeline.sources.ego4d.problems import Problems

CHUNK_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_ENTRY_BYTES = 256 << 20  # of one entry: the annotations of a video take some megabytes
MAX_ENTRY_PARTS = 4_000_000  # of one entry: values, lists and objects, which take some hundred bytes each
_WORDS = {"start_map": "an object", "start_array": "a list"}
_ESCAPED = re.compile(rb"\\.", re.DOTALL)


class TooLargeError(ValueError):
    """A file that no annotation tool writes: nested too deeply, or one entry that is too large."""


def entries(path: Path, key: str, name: str, problems: Problems) -> Iterator[tuple[str, object]]:
    """(`file: key[i]`, entry) for each of the list `key` of the object that a file holds.

    name: of the file, for messages. A file that is no such object is a problem.
    """
    count = 0
    with _reporting(path, name, problems, 3) as file:
        for i, entry in enumerate(ijson.items(file, f"{key}.item", use_float=True)):
            file.place = f"{key}[{i}]"
            yield f"{name}: {file.place}", entry
            count += 1
    if not count and not file.is_broken:
        _expect(path, name, key, "start_array", "a list", problems)


def members(path: Path, key: str, name: str, problems: Problems) -> Iterator[tuple[str, str, object]]:
    """(`file: name`, name, value) for each member of the object `key` in a file; of the file's own where it is ""."""
    count = 0
    with _reporting(path, name, problems, 3 if key else 2) as file:
        for member, value in ijson.kvitems(file, key, use_float=True):
            file.place = repr(member[:60])
            yield f"{name}: {file.place}", member, value
            count += 1
    if not count and not file.is_broken:
        _expect(path, name, key, "start_map", "an object", problems)


def has_key(path: Path, key: str) -> bool:
    """Whether a file holds an object with this key. False where it cannot be read."""
    return _kind_of(path, key) is not None


class _reporting:  # noqa: N801 - used as a function
    """Opens a file for the parser; what it stumbles over becomes a problem of that file."""

    def __init__(self, path: Path, name: str, problems: Problems, entry_depth: int):
        self._path, self._name, self._problems = path, name, problems
        self._file = None
        self._guard = _Guard(entry_depth)
        self.is_broken = False
        self.place = ""  # the last entry that was read whole

    def __enter__(self):
        try:
            self._file = open_plain(self._path)
        except OSError as error:
            self._broken("a readable file", error.strerror)
        return self

    def __exit__(self, kind, error, _traceback) -> bool:
        if self._file is not None:
            self._file.close()
        if isinstance(error, OSError):
            self._broken("a readable file", error.strerror)
        elif isinstance(error, TooLargeError):
            self._broken("annotations", str(error))
        elif isinstance(error, (ijson.JSONError, UnicodeDecodeError)):
            self._broken("JSON", _first_line(error))
        else:
            return False
        return True

    def read(self, size: int) -> bytes:
        """What the parser reads next."""
        if self._file is None:
            return b"{}"
        data = self._file.read(CHUNK_BYTES if size else 0)
        self._guard.look_at(data)
        return data

    def _broken(self, expected: str, got) -> None:
        self.is_broken = True
        self._problems.add_file(self._name, expected, f"{got} after {self.place}" if self.place else got)


class _Guard:
    """Follows the nesting of JSON text from chunk to chunk, by its brackets outside strings.

    entry_depth: of brackets in which an entry lies.
    """

    def __init__(self, entry_depth: int):
        self._entry_depth = entry_depth
        self._tail, self._is_inside, self._depth, self._since, self._parts = b"", False, 0, 0, 0

    def look_at(self, data: bytes) -> None:
        """TooLargeError where brackets are nested too deeply, or one entry is too long."""
        text = _ESCAPED.sub(b"", self._tail + data)
        self._tail, text = (b"\\", text[:-1]) if text.endswith(b"\\") else (b"", text)
        codes = np.frombuffer(text, np.uint8)
        inside = (np.cumsum(codes == ord('"'), dtype=np.int64) + self._is_inside) % 2 == 1
        opened = ((codes == ord("[")) | (codes == ord("{"))) & ~inside
        closed = ((codes == ord("]")) | (codes == ord("}"))) & ~inside
        depth = self._depth + np.cumsum(opened.astype(np.int64) - closed)
        commas = (codes == ord(",")) & ~inside
        between = np.flatnonzero((depth < self._entry_depth) & (commas | (closed & ~inside)))
        last = int(between[-1]) if len(between) else -1
        parts = int(np.count_nonzero((opened | commas)[last + 1 :]))
        self._since, self._parts = (
            (len(codes) - 1 - last, parts) if len(between) else (self._since + len(codes), self._parts + parts)
        )
        if len(codes):
            self._is_inside, self._depth = bool(inside[-1]), int(depth[-1])
            if depth.max() > MAX_DEPTH:
                raise TooLargeError(f"brackets nested more than {MAX_DEPTH} deep")
        if self._since > MAX_ENTRY_BYTES:
            raise TooLargeError(f"one entry of more than {MAX_ENTRY_BYTES >> 20} MB")
        if self._parts > MAX_ENTRY_PARTS:
            raise TooLargeError(f"one entry of more than {MAX_ENTRY_PARTS} values")


def _expect(path: Path, name: str, key: str, event: str, expected: str, problems: Problems) -> None:
    """A problem where the value at key does not begin with this event of the parser."""
    found = _kind_of(path, key)
    if found is None and key:
        problems.add_file(name, f"an object with `{key}`", "none")
    elif found != event:
        problems.add_file(name, f"{expected} at `{key}`" if key else expected, _WORDS.get(found, found))


def _kind_of(path: Path, key: str) -> str | None:
    """The parser's name for what begins at this top-level key, None where there is nothing; "": the whole file."""
    ignored = Problems()
    with _reporting(path, "", ignored, 3 if key else 2) as file:
        for prefix, event, _ in ijson.parse(file):
            if prefix == key and event != "map_key":
                return event
    return None


def _first_line(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return text.strip().split("\n")[0].strip()
