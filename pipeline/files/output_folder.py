"""Output folders and files of commands: one writer at a time, and no foreign file is replaced.

A file may be replaced if it is recognized as written by the same command, or with --overwrite. How each kind of file
is recognized is in recognition.py.
"""

import contextlib
import errno
import logging
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.errors import BusyError, CacheError, DamagedError, StorageError
from embedonce.cache.files import exists, list_folder, read_file
from embedonce.cache.store import refuse_nesting
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.pipeline.errors import InputError

log = logging.getLogger(__name__)

Recognizer = Callable[[bytes], bool]

_TEMPORARY = re.compile(re.escape(commit.TEMP_PREFIX) + r"(\d+)-[0-9a-f]{8}")  # as cache.commit names them: process id
_HOLDER = re.compile(r"process \d+ on [\w.-]+")  # in a lock file
_MAX_HOLDER = 400  # bytes
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


def check_replaceable(
    files: Mapping[Path, Recognizer], overwrite: bool, made_by: str, instead: str, may_be_in_cache: bool = False
) -> None:
    """InputError if one of these files exists and was not written by the command.

    overwrite: replace them anyway. made_by: name of the command. instead: the option to choose another place with.
    may_be_in_cache: files whose names no cache has may be in a folder inside of one.
    StorageError if a file cannot be read, NotACacheError if one is inside a cache.
    """
    for path in () if may_be_in_cache else {path.parent: path for path in files}.values():
        refuse_nesting(path)
    for path, recognizer in files.items():
        if not exists(path):
            continue
        if path.is_dir() and not path.is_symlink():
            raise InputError(f"{path} is a folder, and {made_by} writes a file of that name; choose another {instead}")
        if not overwrite and not _is_recognized(partial(read_file, path), recognizer):
            raise InputError(
                f"{path} was not written by {made_by}, or was changed since then; move it away, choose another "
                f"{instead}, or give --overwrite to replace it"
            )


def check_saved_settings(path: StoredPath, recognizer: Recognizer) -> None:
    """InputError if the file exists and is not one that a command saved its settings to: it may be edited by hand."""
    if path.exists() and not _is_recognized(path.get, recognizer):
        raise InputError(
            f"{path} was not saved by this program, or was changed since then, and the settings of this run would "
            "replace it; move it out of this folder (--config reads it from anywhere)"
        )


def _is_recognized(read: Callable[[], bytes], recognizer: Recognizer) -> bool:
    try:
        return recognizer(read())
    except DamagedError:  # a link, a device or a file that is too long: no command writes those
        return False


@contextlib.contextmanager
def sole_writer(folder: Path, command: str) -> Iterator[None]:
    """Create a folder and lock it for one command. BusyError while another process runs the command in it.

    Temporary files of killed processes are removed from it. A file system without locks is reported in a warning.
    A folder that was created here and stays empty is removed again.
    """
    created = [place for place in (folder, *folder.parents) if not place.exists()]
    commit.make_folder(folder)
    try:
        with _locked(folder / f".{command}.lock"):
            remove_leftovers(folder)
            yield
    finally:
        for place in created:  # innermost first
            with contextlib.suppress(OSError):
                place.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files and folders of processes that no longer run."""
    for path in list_folder(folder):
        match = _TEMPORARY.fullmatch(path.name)
        if not match or _is_running(int(match[1])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            commit.remove(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = _lock(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # the lock is still held: a process that waits for this file checks again
        if lock is not None:
            lock.close()


def _lock(path: Path) -> commit.Lock | None:
    """The lock; None if the file system has no locks."""
    while True:
        try:
            lock = commit.Lock(path)
        except BusyError as error:
            raise BusyError(_busy(path)) from error
        except StorageError as error:
            if getattr(error.__cause__, "errno", None) not in _NO_LOCKS:
                raise
            log.warning("%s cannot be locked: start no other command that writes there", path.parent)
            return None
        if _is_current(lock, path):
            _sign(lock)
            return lock
        lock.close()


def _sign(lock: commit.Lock) -> None:
    """Write who holds a lock into its file, for messages only."""
    with contextlib.suppress(OSError):  # a full disk
        os.ftruncate(lock.fileno(), 0)
        os.pwrite(lock.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _busy(path: Path) -> str:
    """The message for a lock that another process holds; it names the process if that has signed its lock."""
    try:
        holder = read_file(path, _MAX_HOLDER).decode(errors="replace")
    except CacheError:  # released just now
        holder = ""
    name = f" ({holder})" if _HOLDER.fullmatch(holder) else ""
    return f"{path.parent} is being written by another process{name}; wait for it to end"


def _is_current(lock: commit.Lock, path: Path) -> bool:
    """Whether the path still names the locked file: the previous holder may have removed it in the meantime."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
