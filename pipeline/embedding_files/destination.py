"""Where an export is written: under a temporary name beside its own, which it takes when it is whole."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.store import refuse_nesting
from embedonce.cache.write_errors import explained
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.files.output_folder import sole_writer

NAME = "export-embeddings"


@contextlib.contextmanager
def new_output(path: Path, overwrite: bool, is_replaceable: Callable[[Path], bool]) -> Iterator[Path]:
    """A free temporary path for a file or folder, which replaces path at the end; deleted after an error.

    InputError if path exists, unless overwrite is given and is_replaceable(path) is true. BusyError if another process
    exports into the same parent folder. StorageError if the disk is full.
    """
    refuse_nesting(path)
    check_output(path, overwrite, is_replaceable)
    with explained(path), sole_writer(path.parent, NAME):
        temporary = _temporary(path)
        try:
            yield temporary
            check_output(path, overwrite, is_replaceable)  # it may have appeared in the meantime
            _publish(temporary, path)
        finally:
            _delete(temporary)


def check_output(path: Path, overwrite: bool, is_replaceable: Callable[[Path], bool]) -> None:
    """InputError if an export may not be written to this path."""
    if not os.path.lexists(path):
        return
    if not is_replaceable(path) or path.is_symlink():
        raise InputError(f"{path} exists and is not an export of this format; choose another --output")
    if not overwrite:
        raise InputError(f"{path} exists; give --overwrite to replace it, or choose another --output")


def _publish(temporary: Path, path: Path) -> None:
    _sync(temporary)
    if path.is_dir():
        old = _temporary(path)
        path.rename(old)
        temporary.rename(path)
        _delete(old)
    else:
        temporary.replace(path)
    commit.sync_folder(path.parent)


def _sync(path: Path) -> None:
    """fsync a file, or all files of a folder."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{commit.TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
