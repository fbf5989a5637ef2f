"""Durable, atomic publication of files: a file is complete and on disk, or does not exist.

Order of a commit: temporary file, fsync, link to the final name, fsync of the folder. The caller publishes the record
of a shard after the shard.
"""

import errno
import hashlib
import json
import os
import secrets
from pathlib import Path

from embedonce.cache.errors import AlreadyCommittedError, StorageError
from embedonce.cache.exclusive_rename import UNSUPPORTED, rename_exclusively
from embedonce.cache.file_lock import Lock
from embedonce.cache.write_errors import existing_parent, explained

TEMP_PREFIX = ".tmp-"
_PROBES = 5  # of a folder, each of which a run that opens a cache in it may disturb
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
    with explained(path, len(data)):
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
    with explained(path, len(data)):
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
    with explained(path):
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
    with explained(folder):
        for left in reversed(range(_PROBES)):
            try:
                _probe(existing_parent(folder), is_cache)
                return
            except FileNotFoundError:  # another run has opened the cache, and deleted what looked like a leftover
                if not left:
                    raise


def _probe(folder: Path, is_cache: bool) -> None:
    temp = _write_temp(folder / "probe", b"probe")
    published = temp.with_name(f"{temp.name}-published")
    try:
        if is_cache:
            Lock(temp).close()
            _link_exclusively(temp, published)
    finally:
        temp.unlink(missing_ok=True)
        published.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a file durably; no error if it does not exist, nor if its folder does not."""
    with explained(path):
        path.unlink(missing_ok=True)
        if path.parent.is_dir():  # then the name is gone already, or may still be on disk
            sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Delete an empty folder durably."""
    with explained(folder):
        os.rmdir(folder)
        sync_folder(folder.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that an interrupted run left in a folder."""
    with explained(folder):
        for name in os.listdir(folder):
            if name.startswith(TEMP_PREFIX):
                (folder / name).unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Rename a file into an existing folder on the same file system; a power cut leaves one of the names, or both.

    StorageError if the target's name is taken.
    """
    with explained(path):
        _link_or_rename(path, target)
        sync_folder(target.parent)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that names in it are on disk. Skipped on file systems that have no fsync of folders."""
    with explained(folder):
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
