"""Durable, atomic publication of files: a file is complete and on disk, or does not exist.

Order of a commit: temporary file, fsync, link to the final name, fsync of the folder. The caller publishes the record
of a shard after the shard.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path

from embedonce.cache.errors import AlreadyCommittedError, BusyError, StorageError
from embedonce.cache.exclusive_rename import NO_LOCKS, UNSUPPORTED, lacks, rename_exclusively

TEMP_PREFIX = ".tmp-"
_NO_FOLDER_FSYNC = UNSUPPORTED | {errno.EBADF, errno.EISDIR}
_NO_HARD_LINKS = UNSUPPORTED | {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV}


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of data."""
    return hashlib.sha256(data).hexdigest()


def to_json(value) -> bytes:
    """Compact JSON with sorted keys, as UTF-8 bytes. ValueError for NaN and Infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def publish(path: Path, data: bytes) -> None:
    """Write a new file. AlreadyCommittedError if the name is taken; nothing is replaced."""
    with _explained(path, len(data)):
        temp = _write_temp(path, data)
        try:
            _link_exclusively(temp, path)
        except FileExistsError:
            raise AlreadyCommittedError(f"{path} exists already: another writer published it first") from None
        finally:
            temp.unlink(missing_ok=True)
        sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Create or replace a file: a reader sees the old bytes or the new ones."""
    with _explained(path, len(data)):
        temp = _write_temp(path, data)
        try:
            os.replace(temp, path)
        finally:
            temp.unlink(missing_ok=True)
        sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Create a folder and its parents so that their names survive a power cut.

    The fsync of an existing parent is skipped if its permissions do not allow opening it.
    """
    with _explained(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            _sync_parent(folder)
        _sync_parent(path)  # a killed run may have created it without this fsync
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(path))


def check_writable(folder: Path, is_cache: bool = False) -> None:
    """Check that files can be written in folder or its nearest existing parent. StorageError if not.

    is_cache: also check that the file system can lock files and publish them without replacing others, before any work
    is done.
    """
    with _explained(folder):
        temp = _write_temp(existing_parent(folder) / "probe", b"probe")
        published = temp.with_name(f"{temp.name}-published")
        try:
            if is_cache:
                Lock(temp).close()
                _link_exclusively(temp, published)
        finally:
            temp.unlink(missing_ok=True)
            published.unlink(missing_ok=True)


def existing_parent(folder: Path) -> Path:
    """folder, or the nearest of its parents that exists."""
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def remove(path: Path) -> None:
    """Delete a file durably; no error if it does not exist, nor if its folder does not."""
    with _explained(path):
        path.unlink(missing_ok=True)
        if path.parent.is_dir():  # then the name is gone already, or may still be on disk
            sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Delete an empty folder durably."""
    with _explained(folder):
        os.rmdir(folder)
        sync_folder(folder.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that an interrupted run left in a folder."""
    with _explained(folder):
        for name in os.listdir(folder):
            if name.startswith(TEMP_PREFIX):
                (folder / name).unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Rename a file into an existing folder on the same file system; a power cut leaves one of the names, or both.

    StorageError if the target's name is taken.
    """
    with _explained(path):
        _link_or_rename(path, target)
        sync_folder(target.parent)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


class Lock:
    """A lock on a path, exclusive or shared, held until close or until the process ends, however it ends.

    BusyError if another process holds it, unless both are shared; StorageError if the file system has no locks.
    """

    def __init__(self, path: Path, is_shared: bool = False):
        self._path = path
        with _explained(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            self._take(fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX)

    def share(self) -> "Lock":
        """This lock, which others may share from now on. BusyError, and it is released, if another one came first."""
        with _explained(self._path):
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


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that names in it are on disk. Skipped on file systems that have no fsync of folders."""
    with _explained(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in _NO_FOLDER_FSYNC:
                raise
        finally:
            os.close(handle)


def _sync_parent(folder: Path) -> None:
    if not os.access(folder.parent, os.R_OK):
        return
    try:
        sync_folder(folder.parent)
    except StorageError as error:  # network file systems may refuse what access() allows
        if getattr(error.__cause__, "errno", None) != errno.EACCES:
            raise


def _write_temp(path: Path, data: bytes) -> Path:
    temp = path.with_name(f"{TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temp, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    return temp


def _link_exclusively(temp: Path, path: Path) -> None:
    try:
        os.link(temp, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        rename_exclusively(temp, path)


def _link_or_rename(path: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "it exists already", str(target))
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        os.rename(path, target)


@contextlib.contextmanager
def _explained(path: Path, num_bytes: int = 0):
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
