"""Locks of files that several processes use, held by one process alone or shared by several."""

import fcntl
import os
from pathlib import Path

from embedonce.cache.errors import BusyError, StorageError
from embedonce.cache.exclusive_rename import NO_LOCKS, lacks
from embedonce.cache.write_errors import explained


class Lock:
    """A lock on a path, exclusive or shared, held until close or until the process ends, however it ends.

    BusyError if another process holds it, unless both are shared; StorageError if the file system has no locks.
    """

    def __init__(self, path: Path, is_shared: bool = False):
        self._path = path
        with explained(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            self._take(fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX)

    def share(self) -> "Lock":
        """This lock, which others may share from now on. BusyError, and it is released, if another one came first."""
        with explained(self._path):
            self._take(fcntl.LOCK_SH)
        return self

    def _take(self, kind: int) -> None:
        try:
            fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
        except OSError as error:
            is_busy = isinstance(error, BlockingIOError)
            is_shared = is_busy and kind == fcntl.LOCK_EX and _has_shared_holders(self._handle)
            self.close()
            if is_busy:
                raise BusyError(busy_message(self._path.parent, is_shared=is_shared)) from None
            if error.errno in NO_LOCKS:
                raise StorageError(lacks(self._path.parent, "file locks (flock)", error)) from error
            raise

    def check(self) -> None:
        """Nothing to check: the operating system takes the lock from no living process."""

    def fileno(self) -> int:
        """The descriptor. A child process that keeps it open also holds the lock."""
        return self._handle

    def close(self) -> None:
        handle, self._handle = getattr(self, "_handle", -1), -1
        if handle >= 0:
            os.close(handle)

    __del__ = close


def _has_shared_holders(handle: int) -> bool:
    """Whether those who hold a lock share it. The descriptor holds it too then, until it is closed."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def busy_message(folder: object, is_shared: bool = False) -> str:
    """The message for a folder whose lock others hold. is_shared: they share it."""
    if is_shared:
        return (
            f"{folder} is being written by one or more processes that share it, such as the parts of an extraction; "
            "wait for all of them to end"
        )
    return f"{folder} is being written by another process; wait for it to end"
