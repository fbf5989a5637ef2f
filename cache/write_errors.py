"""Errors of writing files, each as one sentence that says what to do."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from embedonce.cache.errors import AlreadyCommittedError, BusyError, StorageError


@contextlib.contextmanager
def explained(path: Path, num_bytes: int = 0) -> Iterator[None]:
    """Turn errors of the operating system into a StorageError. num_bytes: that are to be written to path."""
    try:
        yield
    except OSError as error:
        if isinstance(error, (AlreadyCommittedError, BusyError, StorageError)):
            raise
        raise StorageError(_explanation(path, num_bytes, error)) from error


def _explanation(path: Path, num_bytes: int, error: OSError) -> str:
    if error.errno == errno.ENOSPC and _has_no_inodes(path):
        return (
            f"the file system of {path.parent} can hold no more files (df -i: no inodes are left); everything "
            "committed is safe: delete files that are not needed and run the same command again"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
        return (
            f"the disk of {path.parent} is full ({free / 1e6:.1f} MB free, {num_bytes / 1e6:.1f} MB needed for the "
            "next file alone); everything committed is safe: make space and run the same command again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written ({error.strerror}); choose a folder you may write to"
    return f"{path} cannot be written: {error.strerror or error}"


def _has_no_inodes(path: Path) -> bool:
    """Whether the file system has run out of inodes, if it has a fixed number of them."""
    try:
        status = os.statvfs(existing_parent(path))
    except OSError:
        return False
    return status.f_files > 0 and status.f_favail == 0


def existing_parent(folder: Path) -> Path:
    """folder, or the nearest of its parents that exists."""
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
