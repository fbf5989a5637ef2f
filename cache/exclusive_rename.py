"""Giving a file a name that nobody has, on file systems without hard links: FAT, exFAT, SMB, some FUSE.

The name is never taken by an empty file, and nothing that has it is replaced.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
from pathlib import Path

from embedonce.cache.errors import StorageError

UNSUPPORTED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ENOTTY}  # what systems answer then
NO_LOCKS = UNSUPPORTED | {errno.ENOLCK, errno.EBADF}
_RENAME_NOREPLACE, _AT_FDCWD = 1, -100


def rename_exclusively(temp: Path, path: Path) -> None:
    """Rename, on a file system without hard links (FAT, exFAT, SMB, some FUSE): the name is never taken by less.

    FileExistsError where the name is taken. Whoever publishes in this folder waits for its lock; where folders have no
    locks, the system must know how to rename without replacing. StorageError where it does not.
    """
    with _folder_lock(path.parent) as is_locked:
        if not is_locked:
            _rename_noreplace(temp, path)
            return
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(temp, path)


@contextlib.contextmanager
def _folder_lock(folder: Path):
    """Hold a folder, waiting for others who do; yields whether that is possible on its file system."""
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
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    code = errno.ENOSYS
    if call is not None:
        if call(_AT_FDCWD, os.fsencode(temp), _AT_FDCWD, os.fsencode(path), _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
    error = OSError(code, os.strerror(code), str(path))  # FileExistsError, where that is what it is
    if code in UNSUPPORTED:
        what = "hard links, locks on folders, or renames that replace nothing"
        raise StorageError(lacks(path.parent, what, error)) from error
    raise error


def lacks(folder: Path, what: str, error: OSError) -> str:
    """The sentence that refuses a folder whose file system cannot do what publishing needs."""
    return (
        f"the file system of {folder} has no {what} ({error.strerror}), so that two runs could destroy each other's "
        "files; choose a folder on another file system, or mount this one with them"
    )
