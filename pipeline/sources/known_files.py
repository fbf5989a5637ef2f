"""Fingerprints of files that an earlier run computed, so that unchanged files are not hashed again.

They are kept in a file of the cache, which saves time and decides nothing. An entry counts only for a file of the same
path, size, times of modification and change, and inode (or ETag), whose first and last bytes are the same, too. Where
the file is missing, damaged or of another machine, everything is hashed.
"""

import hashlib
import io
import math
import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from embedonce.cache import documents
from embedonce.cache.errors import CacheError
from embedonce.cache.files import version_of
from embedonce.cache.schema import check_fingerprint
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.remote_files.remote_file import RemoteFile
from embedonce.pipeline.sources.content_identity import fingerprint, fingerprint_of, in_threads, opened
from embedonce.pipeline.sources.source import VideoPath

EDGE_BYTES = 1 << 12  # at either end of a file, which are compared each time
SETTLED_SEC = 60.0  # a file that was changed later may change again without another time: the time of a write through
# a memory map is noted once, until the system has written the page to the disk, which it puts off for up to 35 s
MAX_FILES = 200_000  # that are kept, about 50 MB
MAX_DOCUMENT_BYTES = 1 << 28  # of a file that is read


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
        if isinstance(path, ImageSequence):  # whose fingerprint reads little more than the list of its files
            return fingerprint(path)
        name = str(path)
        known = self._found.get(name) or (self._stored or {}).get(name, ())
        try:
            with opened(path) as file:
                state, is_settled = _state(path, file)
                found = known[-1] if known[:-1] == state else fingerprint_of(file)
        except OSError:
            return ""
        if is_settled:
            self._found[name] = (*state, found)
        return found


def _state(path: Path | RemoteFile, file: io.BufferedReader) -> tuple[tuple[str, ...], bool]:
    """((size, version, SHA-256 of the first and last bytes) of an open file, whether it changed a while ago)."""
    if isinstance(path, Path):
        status = os.fstat(file.fileno())
        version, changed = version_of(status), max(status.st_mtime, status.st_ctime)
    else:
        version, changed = path.version, path.modified_ns / 1e9 or math.inf  # where it is unknown
    edges = hashlib.sha256(file.read(EDGE_BYTES))
    file.seek(max(0, version.num_bytes - EDGE_BYTES))
    edges.update(file.read(EDGE_BYTES))
    state = str(version.num_bytes), version.tag, edges.hexdigest()
    return state, changed + SETTLED_SEC < time.time()


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
