"""Copies of stored files in a bounded local folder, which the processes of one machine share.

A copy is published whole, by a rename, and named by the location and version of what it is a copy of. The copies that
were used longest ago are deleted to make room. Nothing here is trusted: a copy ends with the SHA-256 of its bytes, with
which it is compared after the machine was started again, and by whoever asks for its digest.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.copy_file import TRAILER_BYTES, Copy, write_copy

_COPY, _PART, _LOCK = ".copy", ".part", ".lock"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalCopies:
    """The folder of copies and how many bytes they may take. Picklable; safe with several processes and threads."""

    folder: Path
    max_bytes: int

    @classmethod
    def create(cls, folder: Path, max_bytes: int) -> "LocalCopies":
        """The copies in a folder, which is created. StorageError if it cannot be written."""
        commit.make_folder(folder)
        commit.check_writable(folder)
        return cls(folder, max_bytes)

    def open(self, location: str, version: FileVersion, digest: str | None = None) -> Copy | None:
        """The copy of a file, if there is one; it is then the one that was used last. digest: if it is known."""
        path = self._path(location, version)
        with contextlib.suppress(DamagedError, StorageError, FileNotFoundError):
            copy = Copy(path, digest)
            if copy.size == version.num_bytes and copy.survived():
                os.utime(path)
                return copy
            copy.close()
            self.drop(location, version)  # truncated, or not all of it was on the disk when the machine stopped
        return None

    def drop(self, location: str, version: FileVersion) -> bool:
        """Delete a copy. Returns whether there was one."""
        try:
            self._path(location, version).unlink()
        except FileNotFoundError:
            return False
        return True

    def make(self, location: str, version: FileVersion, blocks: Iterable[bytes | memoryview]) -> Copy | None:
        """Copy a file from its blocks, unless another process has just done so. None if there is no room for it.

        Whatever reading a block raises is raised; no copy is made then.
        """
        if version.num_bytes + TRAILER_BYTES > self.max_bytes:
            return None
        try:
            with self._part(location, version) as part:
                if copy := self.open(location, version):
                    return copy
                self._make_room(part, version.num_bytes + TRAILER_BYTES)
                digest = write_copy(part, blocks, version.num_bytes)
                path = self._path(location, version)
                os.rename(path.with_suffix(_PART), path)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            if error.errno not in _FULL:
                raise StorageError(f"local copies cannot be written to {self.folder}: {error.strerror}") from error
            _LOG.warning("the disk of %s is full: %s is read without a local copy", self.folder, location)
            return None
        return self.open(location, version, digest)

    def _path(self, location: str, version: FileVersion) -> Path:
        key = hashlib.sha256(f"{location}\n{version.num_bytes}\n{version.tag}".encode()).hexdigest()[:40]
        return self.folder / f"{key}{_COPY}"

    @contextlib.contextmanager
    def _part(self, location: str, version: FileVersion) -> Iterator[int]:
        """A locked temporary file for a copy; other processes that make the same copy wait for it."""
        path = self._path(location, version).with_suffix(_PART)
        handle = _lock_file(path)
        try:
            yield handle
        finally:
            if _is_at(handle, path):
                path.unlink()
            os.close(handle)

    def _make_room(self, part: int, num_bytes: int) -> None:
        """Reserve num_bytes for a temporary file, and delete what was used longest ago or left by killed processes."""
        handle = _lock_file(self.folder / _LOCK)
        try:
            os.ftruncate(part, num_bytes)  # counted by other processes from now on
            for path in self.folder.glob(f"*{_PART}"):
                _remove_if_left(path)
            parts, copies = (sorted(_last_uses(self.folder.glob(f"*{suffix}"))) for suffix in (_PART, _COPY))
            total = sum(size for _, size, _ in (*parts, *copies))
            for _, size, path in copies:
                if total <= self.max_bytes:
                    break
                path.unlink(missing_ok=True)
                total -= size
        finally:
            os.close(handle)


def _lock_file(path: Path) -> int:
    """Open and lock a file, waiting for others who have; it is created if it does not exist."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_at(handle, path):
            return handle
        os.close(handle)  # renamed or deleted by the one who had it


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _remove_if_left(path: Path) -> None:
    """Delete a temporary file unless a living process has it locked."""
    with contextlib.suppress(FileNotFoundError):
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, path):
                path.unlink()
        except BlockingIOError:
            return
        finally:
            os.close(handle)


def _last_uses(paths: Iterable[Path]) -> Iterator[tuple[int, int, Path]]:
    """(time of the last use, bytes, path) of each file."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            yield status.st_mtime_ns, status.st_size, path
