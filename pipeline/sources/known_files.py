"""Fingerprints of files that an earlier run computed, so that unchanged files are not hashed again.

They are kept in a file of the cache, which saves time and decides nothing. An entry counts only for a file of the same
path, size, times of modification and change, and inode (or ETag), whose first and last bytes are the same, too. Where
the file is missing, damaged or of another machine, everything is hashed.
"""

import hashlib
import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from embedonce.cache import documents
from embedonce.cache.errors import CacheError
from embedonce.cache.files import version_of
from embedonce.cache.schema import check_fingerprint
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.sources.content_identity import fingerprint, in_threads, opened
from embedonce.pipeline.sources.source import VideoPath

EDGE_BYTES = 1 << 12  # at either end of a file, which are compared each time
SETTLED_SEC = 60.0  # a file that was changed later may change again without another time: the time of a write through
# a memory map is noted once, until the system has written the page to the disk, which it puts off for up to 35 s
MAX_FILES = 200_000  # that are kept, about 50 MB
MAX_DOCUMENT_BYTES = 1 << 28  # of a file that is read


class FileState(NamedTuple):
    """What a file looks like without reading all of it. version: as of cache.files, or of the server."""

    version: FileVersion
    edges: str  # SHA-256 of its first and last bytes
    is_settled: bool


class KnownFiles:
    """What earlier runs know of files, and what is learned of them. document: where that is kept; None for nowhere."""

    def __init__(self, document: StoredPath | None = None):
        self._document = document
        self._stored: dict[str, tuple[str, ...]] | None = None  # by path; None before it is read
        self._found: dict[str, tuple[str, ...]] = {}

    def fingerprints(self, paths: Iterable[VideoPath]) -> list[str]:
        """The fingerprint() of each path, in order. Files that have not changed are hardly read."""
        paths = list(paths)
        if paths and self._stored is None:
            self._stored = _stored_in(self._document)
        return in_threads(self._fingerprint, paths)

    def text_of(self, paths: Collection[VideoPath]) -> str | None:
        """The document about these files, to be kept for the next run; None if that is the stored one already."""
        names = {str(path) for path in paths}
        files = {name: entry for name, entry in sorted(self._found.items()) if name in names}
        if len(files) > MAX_FILES or files == (self._stored or {}):
            return None
        listed = [[name, *entry] for name, entry in files.items()]
        return documents.serialize_with_checksum({"files": listed}).decode()

    def _fingerprint(self, path: VideoPath) -> str:
        state = _state(path)
        if state is None:
            return fingerprint(path)
        key = (str(state.version.num_bytes), state.version.tag, state.edges)
        name = str(path)
        known = self._found.get(name) or (self._stored or {}).get(name, ())
        found = known[-1] if known[:-1] == key else fingerprint(path)
        if found and state.is_settled:
            self._found[name] = (*key, found)
        return found


def _state(path: VideoPath) -> FileState | None:
    """The state of a file before it is hashed; None if it cannot be read, or is a folder of images.

    Of such a folder the fingerprint reads little more than the list of its files.
    """
    if isinstance(path, ImageSequence):
        return None
    try:
        with opened(path) as file:
            if isinstance(path, Path):
                status = os.fstat(file.fileno())
                version, changed = version_of(status), max(status.st_mtime, status.st_ctime)
            else:
                version, changed = path.version, path.modified_ns / 1e9
            edges = hashlib.sha256(file.read(EDGE_BYTES))
            file.seek(max(0, version.num_bytes - EDGE_BYTES))
            edges.update(file.read(EDGE_BYTES))
    except OSError:
        return None
    return FileState(version, edges.hexdigest(), changed + SETTLED_SEC < time.time())


def _stored_in(document: StoredPath | None) -> dict[str, tuple[str, ...]]:
    """Path -> size, tag, edges and fingerprint, as an earlier run has stored them; none if there is anything wrong."""
    if document is None:
        return {}
    with suppress(CacheError, OSError, ValueError, TypeError, KeyError):
        files = documents.parse(document.get(MAX_DOCUMENT_BYTES), str(document))["files"]
        return {_checked(name): tuple(map(_checked, (*rest, check_fingerprint(found)))) for name, *rest, found in files}
    return {}


def _checked(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value
