"""Renaming a file without replacing another, on file systems without hard links: FAT, exFAT, SMB, some FUSE.

The final name never refers to an empty or partial file.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
from pathlib import Path

from embedonce.cache.errors import StorageError

UNSUPPORTED = {
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.ENOTTY,
}  # errno of a missing feature
NO_LOCKS = UNSUPPORTED | {errno.ENOLCK, errno.EBADF}
_RENAME_NOREPLACE, _AT_FDCWD, _RENAME_EXCL = 1, -100, 4


def rename_exclusively(temp: Path, path: Path) -> None:
    """Rename a temporary file to its final name. FileExistsError if the name is taken.

    All who publish in this folder wait for its lock. If folders cannot be locked, the operating system must be able to
    rename without replacing; StorageError if it is not.
    """
    with folder_lock(path.parent) as is_locked:
        if not is_locked:
            _rename_noreplace(temp, path)
            return
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(temp, path)


@contextlib.contextmanager
def folder_lock(folder: Path):
    """Lock a folder, waiting for other holders; yields False if its file system has no such locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _is_locked(handle)
    finally:
        os.close(handle)


def _is_locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _rename_noreplace(temp: Path, path: Path) -> None:
    library, names = ctypes.CDLL(None, use_errno=True), (os.fsencode(temp), os.fsencode(path))
    code = errno.ENOSYS
    if call := getattr(library, "renameat2", None):  # Linux
        code = 0 if call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0 else ctypes.get_errno()
    elif call := getattr(library, "renamex_np", None):  # macOS
        code = 0 if call(*names, _RENAME_EXCL) == 0 else ctypes.get_errno()
    if code == 0:
        return
    error = OSError(code, os.strerror(code), str(path))  # OSError picks the subclass, such as FileExistsError
    if code in UNSUPPORTED:
        missing = "hard links, locks on folders, or renames that replace nothing"
        raise StorageError(lacks(path.parent, missing, error)) from error
    raise error


def lacks(folder: Path, feature: str, error: OSError) -> str:
    """The message for a file system without a feature that publishing needs."""
    return (
        f"the file system of {folder} has no {feature} ({error.strerror}), so two runs could destroy each other's "
        "files; choose a folder on another file system, or mount this one with them"
    )
