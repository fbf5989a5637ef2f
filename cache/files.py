"""Reads files that are not trusted: regular files only, no symbolic links, no more bytes than allowed.

Wrong bytes are a DamagedError. Whatever prevents reading them (permissions, a failing disk or network file system) is a
StorageError: it is no evidence about the file.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.stores.base import MAX_DOCUMENT_BYTES, FileVersion

_BLOCK = 1 << 20
_MOST_LISTS = 20  # of a folder that others change all the time


def read_file(path: Path | str, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """All bytes of a regular file. DamagedError if it is missing, a link, not a file, or longer than limit bytes."""
    with _Opened(path) as file:
        if file.size > limit:
            raise DamagedError(f"{path} has {file.size} bytes, more than the {limit} that are allowed")
        return b"".join(file.blocks())


def digest(path: Path) -> tuple[int, str]:
    """(bytes, hexadecimal SHA-256) of a regular file, read block by block. Errors as in read_file."""
    sha256 = hashlib.sha256()
    with _Opened(path) as file:
        for block in file.blocks():
            sha256.update(block)
        return file.size, sha256.hexdigest()


def list_folder(folder: Path, suffix: str = "") -> list[Path]:
    """The entries of a folder whose names end in suffix, as in list_names()."""
    return [folder / name for name in list_names(folder, suffix)]


def list_names(folder: Path, suffix: str = "") -> list[str]:
    """The names of a folder's entries that end in suffix, sorted; empty if there is no such folder.

    The folder is listed until two lists agree. One alone may lack both files if one was created and the other one
    deleted meanwhile, as a removal of videos does with units that it writes again. StorageError if the folder cannot
    be listed: an unreadable folder is never treated as an empty one.
    """
    names = _names(folder, suffix)
    for _ in range(_MOST_LISTS - 1):
        before, names = names, _names(folder, suffix)
        if names == before:
            break
    return names


def _names(folder: Path, suffix: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(suffix))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{folder} cannot be listed: {error.strerror}") from error


def exists(path: Path) -> bool:
    """Whether anything has this name. StorageError if that cannot be determined."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(f"{path} cannot be reached: {error.strerror}") from error
    return True


def is_folder(path: Path) -> bool:
    """Whether this is a folder and not a link to one. StorageError if that cannot be determined."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(f"{path} cannot be reached: {error.strerror}") from error


def version(path: Path | str) -> FileVersion:
    """The size of a regular file; its tag is of its times of modification and change and its inode.

    Errors as in read_file.
    """
    try:
        status = os.lstat(path)
    except OSError as error:
        raise read_error(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise DamagedError(f"{path} is not a regular file")
    return version_of(status)


def version_of(status: os.stat_result) -> FileVersion:
    """As version(), of a file with this status."""
    return FileVersion(status.st_size, f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_dev}-{status.st_ino}")


def refuse_links(folders: Iterable[Path]) -> None:
    """DamagedError if one of these folders is a symbolic link, which could lead out of the cache."""
    for folder in folders:
        if folder.is_symlink():
            raise DamagedError(f"{folder} is a symbolic link; links are not followed")


def open_regular_file(path: Path | str) -> tuple[int, int]:
    """(file descriptor, size in bytes) of a regular file, open for reading. Errors as in read_file.

    FIFOs and devices never block, and links are not followed.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise read_error(path, error) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise DamagedError(f"{path} is not a regular file")
    return handle, status.st_size


class _Opened:
    """A regular file open for reading, block by block."""

    def __init__(self, path: Path | str):
        self._path = path

    def __enter__(self) -> "_Opened":
        self._handle, self.size = open_regular_file(self._path)
        return self

    def __exit__(self, *_) -> None:
        os.close(self._handle)

    def blocks(self) -> Iterator[bytes]:
        """The file's bytes, up to the length that it had when it was opened."""
        left = self.size
        while left:
            try:
                block = os.read(self._handle, min(left, _BLOCK))
            except OSError as error:
                raise read_error(self._path, error) from error
            if not block:
                raise DamagedError(f"{self._path} became shorter while it was read")
            left -= len(block)
            yield block


def read_error(path: Path | str, error: OSError) -> Exception:
    """The error to raise for a file that could not be read: DamagedError if it does not exist, else StorageError."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return DamagedError(f"{path} is missing")
    if error.errno == errno.ELOOP:
        return DamagedError(f"{path} is a symbolic link; links are not followed")
    return StorageError(f"{path} cannot be read: {error.strerror}")
