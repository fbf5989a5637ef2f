"""Reading the files of a cache without trusting them: regular files only, no links, no more bytes than allowed.

What is wrong with the bytes is a DamagedError. What keeps them from being read at all (permissions, a disk or a network
file system that fails) is a StorageError: it says nothing about the file. Knows paths and bytes, not their meaning.
"""

import errno
import hashlib
import os
import stat
from pathlib import Path

from embedonce.cache.errors import DamagedError, StorageError

MAX_DOCUMENT_BYTES = 1 << 30  # of one JSON document or head of a label set: far more than any that is written
_BLOCK = 1 << 20


def read_file(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """All bytes of a regular file. DamagedError where it is missing, a link, no file or longer than limit."""
    with _Opened(path) as file:
        if file.size > limit:
            raise DamagedError(f"{path} has {file.size} bytes, more than the {limit} that it may have")
        return b"".join(file.blocks())


def digest(path: Path) -> tuple[int, str]:
    """(bytes, hexadecimal SHA-256) of a regular file, which is never held whole in memory. Errors as in read_file."""
    found = hashlib.sha256()
    with _Opened(path) as file:
        for block in file.blocks():
            found.update(block)
        return file.size, found.hexdigest()


def list_folder(folder: Path, suffix: str = "") -> list[Path]:
    """The entries of a folder whose names end in suffix, sorted by name; none where there is no such folder.

    StorageError where the folder cannot be listed: an unreadable folder is never taken for an empty one.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries if entry.name.endswith(suffix))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{folder} cannot be listed: {error.strerror}") from error


def exists(path: Path) -> bool:
    """Whether there is anything under this name. StorageError where that cannot be found out."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(f"{path} cannot be reached: {error.strerror}") from error
    return True


def is_folder(path: Path) -> bool:
    """Whether this is a folder, and no link to one. StorageError where that cannot be found out."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(f"{path} cannot be reached: {error.strerror}") from error


def refuse_links(folders) -> None:
    """DamagedError where one of these folders is a symbolic link, which could lead out of the cache."""
    for folder in folders:
        if folder.is_symlink():
            raise DamagedError(f"{folder} is a symbolic link; nothing behind it is read")


class _Opened:
    """A regular file open for reading; FIFOs and devices never block, links are not followed."""

    def __init__(self, path: Path):
        self._path, self._handle = path, None

    def __enter__(self):
        try:
            self._handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise read_error(self._path, error) from error
        status = os.fstat(self._handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._handle)
            raise DamagedError(f"{self._path} is no regular file")
        self.size = status.st_size
        return self

    def __exit__(self, *_):
        os.close(self._handle)

    def blocks(self):
        """The file's bytes, as long as it was when it was opened."""
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


def read_error(path: Path, error: OSError) -> Exception:
    """The error to raise for a file that could not be read: DamagedError where it is not there, else StorageError."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return DamagedError(f"{path} is missing")
    if error.errno == errno.ELOOP:
        return DamagedError(f"{path} is a symbolic link; nothing behind it is read")
    return StorageError(f"{path} cannot be read: {error.strerror}")
