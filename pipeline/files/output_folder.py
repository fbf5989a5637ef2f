"""Folders and files that commands write: one writer at a time, and nothing replaced that another command or hand made.

A file may be replaced where it is recognized as what the same command writes, or where the user said --overwrite.
Knows paths and bytes; how each kind of file is recognized is in pipeline.file_recognition.
"""

import contextlib
import errno
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.files import exists, list_folder, read_file
from embedonce.pipeline.errors import InputError

log = logging.getLogger(__name__)

Recognizer = Callable[[bytes], bool]

_TEMPORARY = re.compile(re.escape(commit.TEMP_PREFIX) + r"(\d+)-[0-9a-f]{8}")  # as cache.commit names them: process id
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


def check_replaceable(files: Mapping[Path, Recognizer], overwrite: bool, made_by: str, instead: str) -> None:
    """InputError where one of these files is there and is not what a command writes under that name.

    overwrite: the user said that they may be replaced. made_by: the command. instead: the option that names another
    place. StorageError where a file cannot be read.
    """
    for path, is_ours in files.items():
        if not exists(path):
            continue
        if path.is_dir() and not path.is_symlink():
            raise InputError(f"{path} is a folder, and {made_by} writes a file of that name; choose another {instead}")
        if not overwrite and not _is_recognized(path, is_ours):
            raise InputError(
                f"{path} was not written by {made_by}, or was changed since; move it away, choose another {instead}, "
                "or give --overwrite to replace it"
            )


def check_saved_settings(path: Path, is_ours: Recognizer) -> None:
    """InputError where a file is not what a command saves its settings as: it may be somebody's own, with comments."""
    if exists(path) and not _is_recognized(path, is_ours):
        raise InputError(
            f"{path} was not saved by this program, or was changed since, and the settings of this run would replace "
            "it; move it out of this folder (--config reads it anywhere)"
        )


def _is_recognized(path: Path, is_ours: Recognizer) -> bool:
    try:
        return is_ours(read_file(path))
    except DamagedError:  # a link, a device, too long: whatever it is, no command wrote it
        return False


@contextlib.contextmanager
def sole_writer(folder: Path, command: str) -> Iterator[None]:
    """Make a folder, and hold it for one command until the end. BusyError while another process runs the command in it.

    Temporary files that killed processes left in it are removed. Where the file system has no locks, a warning says so.
    A folder that was made here and stays empty is removed again.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    commit.make_folder(folder)
    try:
        with _locked(folder / f".{command}.lock"):
            remove_leftovers(folder)
            yield
    finally:
        for place in made:  # innermost first
            with contextlib.suppress(OSError):
                place.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of processes that are no more."""
    for path in list_folder(folder):
        found = _TEMPORARY.fullmatch(path.name)
        if found and not _is_running(int(found[1])) and not path.is_dir():
            commit.remove(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = _lock(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # still held: who waits for this very file looks again
        if lock is not None:
            lock.close()


def _lock(path: Path) -> commit.Lock | None:
    """The lock; None where the file system has none."""
    while True:
        try:
            lock = commit.Lock(path)
        except StorageError as error:
            if getattr(error.__cause__, "errno", None) not in _NO_LOCKS:
                raise
            log.warning("%s cannot be locked: start no other command that writes there", path.parent)
            return None
        if _is_still(lock, path):
            return lock
        lock.close()


def _is_still(lock: commit.Lock, path: Path) -> bool:
    """Whether the path still names the file that was locked: its last holder may have removed it meanwhile."""
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
