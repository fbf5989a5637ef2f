"""Large JSON files, read entry by entry in memory that does not grow with the file.

Files are untrusted: nesting depth and the size of one entry are limited before the parser (yajl, through ijson) sees
them. ijson is imported when a file is opened, so that listing the kinds of annotations stays fast.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from embedonce.models.plain_files import open_plain
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems

CHUNK_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_ENTRY_BYTES = 256 << 20  # of one entry; the annotations of a video take some megabytes
MAX_ENTRY_PARTS = 4_000_000  # values, lists and objects of one entry, about a hundred bytes each
_EVENT_NAMES = {"start_map": "an object", "start_array": "a list"}
_ESCAPED = re.compile(rb"\\.", re.DOTALL)


class TooLargeError(ValueError):
    """Nesting is too deep, or one entry is too large, for any annotation file."""


def entries(path: Path, key: str, name: str, problems: Problems) -> Iterator[tuple[str, object]]:
    """Yield (`name: key[i]`, entry) for the list `key` of the object that a file holds.

    key: "" if the file holds the list itself. name: of the file, for messages. A file of another form is reported to
    `problems`.
    """
    import ijson

    count = 0
    with _JsonFile(path, name, problems, 3 if key else 2) as file:
        for i, entry in enumerate(ijson.items(file, f"{key}.item" if key else "item", use_float=True)):
            file.last_entry = f"{key}[{i}]"
            yield f"{name}: {file.last_entry}", entry
            count += 1
    if not count and not file.is_broken:
        _check_form(path, name, key, "start_array", "a list", problems)


def members(path: Path, key: str, name: str, problems: Problems) -> Iterator[tuple[str, str, object]]:
    """Yield (`name: member`, member, value) for the object `key` of a file; for the whole file if key is ""."""
    import ijson

    count = 0
    with _JsonFile(path, name, problems, 3 if key else 2) as file:
        for member, value in ijson.kvitems(file, key, use_float=True):
            file.last_entry = repr(member[:60])
            yield f"{name}: {file.last_entry}", member, value
            count += 1
    if not count and not file.is_broken:
        _check_form(path, name, key, "start_map", "an object", problems)


def has_key(path: Path, key: str) -> bool:
    """Whether a file holds an object with this key. False if it cannot be read."""
    return _first_event(path, key) is not None


class _JsonFile:
    """A file opened for the parser. Errors while parsing it become problems of that file."""

    def __init__(self, path: Path, name: str, problems: Problems, entry_depth: int):
        self._path, self._name, self._problems = path, name, problems
        self._file: BinaryIO | None = None
        self._limits = _Limits(entry_depth)
        self.is_broken = False
        self.last_entry = ""  # the last entry that was read completely

    def __enter__(self) -> "_JsonFile":
        try:
            self._file = open_plain(self._path)
        except OSError as error:
            self._report("a readable file", error.strerror)
        return self

    def __exit__(self, _type, error: BaseException | None, _traceback) -> bool:
        import ijson

        if self._file is not None:
            self._file.close()
        if isinstance(error, OSError):
            self._report("a readable file", error.strerror)
        elif isinstance(error, TooLargeError):
            self._report("annotations", str(error))
        elif isinstance(error, (ijson.JSONError, UnicodeDecodeError)):
            self._report("JSON", _first_line(error))
        else:
            return False
        return True

    def read(self, size: int) -> bytes:
        """The next chunk; ijson calls this."""
        if self._file is None:
            return b"{}"
        data = self._file.read(CHUNK_BYTES if size else 0)
        self._limits.check(data)
        return data

    def _report(self, expected: str, value: object) -> None:
        self.is_broken = True
        shown = f"{value} after {self.last_entry}" if self.last_entry else value
        self._problems.add_file(self._name, expected, shown)


class _Limits:
    """Tracks nesting depth and entry size from chunk to chunk, by the brackets and commas outside strings.

    entry_depth: the nesting depth of an entry.
    """

    def __init__(self, entry_depth: int):
        self._entry_depth = entry_depth
        self._is_in_string, self._depth = False, 0
        self._entry_bytes, self._entry_parts = 0, 0
        self._tail = b""  # a backslash at the end of the last chunk

    def check(self, data: bytes) -> None:
        """Raise TooLargeError if brackets are nested too deeply or one entry is too large."""
        text = _ESCAPED.sub(b"", self._tail + data)
        self._tail, text = (b"\\", text[:-1]) if text.endswith(b"\\") else (b"", text)
        codes = np.frombuffer(text, np.uint8)
        in_string = (np.cumsum(codes == ord('"'), dtype=np.int64) + self._is_in_string) % 2 == 1
        opened = ((codes == ord("[")) | (codes == ord("{"))) & ~in_string
        closed = ((codes == ord("]")) | (codes == ord("}"))) & ~in_string
        commas = (codes == ord(",")) & ~in_string
        depth = self._depth + np.cumsum(opened.astype(np.int64) - closed)
        ends = np.flatnonzero((depth < self._entry_depth) & (commas | closed))
        self._count_entry(opened | commas, int(ends[-1]) if len(ends) else None)
        if len(codes):
            self._is_in_string, self._depth = bool(in_string[-1]), int(depth[-1])
            if depth.max() > MAX_DEPTH:
                raise TooLargeError(f"brackets nested more than {MAX_DEPTH} deep")
        if self._entry_bytes > MAX_ENTRY_BYTES:
            raise TooLargeError(f"one entry of more than {MAX_ENTRY_BYTES >> 20} MB")
        if self._entry_parts > MAX_ENTRY_PARTS:
            raise TooLargeError(f"one entry of more than {MAX_ENTRY_PARTS} values")

    def _count_entry(self, parts: np.ndarray, last_end: int | None) -> None:
        """Add a chunk to the size of the current entry. last_end: where the last entry ended in it, if one did."""
        if last_end is None:
            self._entry_bytes += len(parts)
            self._entry_parts += int(np.count_nonzero(parts))
        else:
            self._entry_bytes = len(parts) - 1 - last_end
            self._entry_parts = int(np.count_nonzero(parts[last_end + 1 :]))


def _check_form(path: Path, name: str, key: str, event: str, expected: str, problems: Problems) -> None:
    """Report the file if the value at key does not begin with this parser event."""
    first = _first_event(path, key)
    if first is None and key:
        problems.add_file(name, f"an object with `{key}`", "none")
    elif first != event:
        problems.add_file(name, f"{expected} at `{key}`" if key else expected, _EVENT_NAMES.get(first or "", first))


def _first_event(path: Path, key: str) -> str | None:
    """The first parser event at a top-level key, or of the whole file if key is ""; None if there is nothing."""
    import ijson

    ignored = Problems()
    with _JsonFile(path, "", ignored, 3 if key else 2) as file:
        for prefix, event, _ in ijson.parse(file):
            if prefix == key and event != "map_key":
                return event
    return None


def _first_line(error: BaseException) -> str:
    text = error.args[0] if error.args else ""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return text.strip().split("\n")[0].strip()
