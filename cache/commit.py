"""Durable publication of files: whole and on disk, or not there at all.

Knows bytes and paths only. Order of a commit: temp file, fsync, exclusive link, fsync of the folder; the
record of a shard is published after the shard, by the caller.
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
    """Compact, stable JSON as UTF-8 bytes; NaN and Infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def publish(path: Path, data: bytes) -> None:
    """Write data under a name that nobody has taken; AlreadyCommittedError where somebody has."""
    with _explained(path, len(data)):
        temp = _write_temp(path, data)
        try:
            _link_exclusively(temp, path)
        except FileExistsError:
            raise AlreadyCommittedError(f"{path} is there already: another writer published it first") from None
        finally:
            temp.unlink(missing_ok=True)
        sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Write data under path, in the place of what was there: a reader sees the old bytes or the new ones."""
    with _explained(path, len(data)):
        temp = _write_temp(path, data)
        try:
            os.replace(temp, path)
        finally:
            temp.unlink(missing_ok=True)
        sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Create a folder and its parents so that their names survive a power cut.

    Where the parent that exists already may be entered but not read, its own fsync is left out: it cannot be opened.
    """
    with _explained(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            _sync_parent(folder)
        _sync_parent(path)  # it may be there by a run that was killed before it did this
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(path))


def check_writable(folder: Path, is_cache: bool = False) -> None:
    """Prove that files can be written in folder or its nearest existing parent; StorageError if not.

    A file system on which a cache's files cannot be locked, or published under names that nobody has, is refused here,
    before any work.
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
    """Delete a file, if it is there, so that it stays away after a power cut."""
    with _explained(path):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Delete an empty folder so that it stays away after a power cut."""
    with _explained(folder):
        os.rmdir(folder)
        sync_folder(folder.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete temp files that an interrupted run left in folder."""
    with _explained(folder):
        for name in os.listdir(folder):
            if name.startswith(TEMP_PREFIX):
                (folder / name).unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Give a file another name on the same file system, in a folder that exists; a power cut leaves one or both.

    FileExistsError where the target's name is taken.
    """
    with _explained(path):
        _link_or_rename(path, target)
        sync_folder(target.parent)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


class Lock:
    """A path held as this process's own until close, or until the process ends, however it ends.

    BusyError where another process holds it; StorageError where the file system has no locks.
    """

    def __init__(self, path: Path):
        with _explained(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self.close()
                if isinstance(error, BlockingIOError):
                    raise BusyError(f"{path.parent} is being written by another process; wait for it to end") from None
                if error.errno in NO_LOCKS:
                    raise StorageError(lacks(path.parent, "file locks (flock)", error)) from error
                raise

    def fileno(self) -> int:
        """The descriptor: a child process that keeps it open holds the path too."""
        return self._handle

    def close(self) -> None:
        handle, self._handle = getattr(self, "_handle", -1), -1
        if handle >= 0:
            os.close(handle)

    __del__ = close


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that names in it are on disk. Some file systems have no fsync of folders, and say so."""
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
    except StorageError as error:  # network file systems may refuse what access() promises
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
        raise FileExistsError(errno.EEXIST, "is there already", str(target))
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
            "committed is safe: delete files that nobody needs and run the same command again"
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
    """Whether what is full is the number of files, on a file system that has such a number."""
    try:
        found = os.statvfs(existing_parent(path))
    except OSError:
        return False
    return found.f_files > 0 and found.f_favail == 0
