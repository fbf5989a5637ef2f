"""The folder of an export: what may be put in its place, and how a whole new one takes it. Knows names and bytes."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from embedonce.cache import commit
from embedonce.pipeline.errors import InputError

MARK = "export_config.yaml"  # a folder that holds it is an export
OTHERS = ("README.md", "config.json", "parity.json", "model.safetensors", "student_parts.safetensors")
MODELS = ("frames.fp32.onnx", "frames.fp16.onnx", "frames.int8.onnx", "clip.onnx", "frames.pte", "clip.pte")
_NAMES = (MARK, *OTHERS, *MODELS)


def check_folder(folder: Path, overwrite: bool) -> None:
    """InputError where an export may not take this folder's place. folder: without links in its path."""
    if folder.parent.is_dir():
        with _alone_in(folder.parent):
            _recover(folder)
            _check(folder, overwrite)


def _check(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output-dir {folder} is a file; name a folder")
    there = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    foreign = _foreign(folder) if folder.exists() else []
    if foreign or (there and MARK not in there):
        raise InputError(
            f"--output-dir {folder} holds {(foreign or there)[0]}, which is of no export; name a new or empty folder"
        )
    if there and not overwrite:
        raise InputError(f"{folder} holds an export already; give --overwrite to put this one in its place")
    for beside in _beside(folder):
        if os.path.lexists(beside):  # what killed exports leave is gone by now
            raise InputError(
                f"{beside} is in the way: an export needs this name while it is published; rename it, or choose "
                "another --output-dir"
            )


def publish(folder: Path, files: dict[str, bytes], overwrite: bool) -> None:
    """All files under folder at once: what was there stays until the new ones are whole, and comes back if they cannot
    take its place. InputError where something came there meanwhile that they may not replace."""
    commit.make_folder(folder.parent)
    with _alone_in(folder.parent):
        _recover(folder)
        _check(folder, overwrite)
        _replace(folder, files)


def _replace(folder: Path, files: dict[str, bytes]) -> None:
    made, old = _beside(folder)
    try:
        commit.make_folder(made)
        for name in sorted(files, key=lambda name: name != MARK):  # the mark first: it says whose the folder is
            commit.replace(made / name, files[name])
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
        commit.sync_folder(folder.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        _recover(folder)


@contextlib.contextmanager
def _alone_in(parent: Path) -> Iterator[None]:
    """No other export publishes into this folder meanwhile: each waits for its turn, which takes less than a second."""
    handle = os.open(parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock files alone
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")


def _recover(folder: Path) -> None:
    """Leave nothing of an attempt that was killed: what it had set aside comes back where nothing took its place.

    What no export left there is not touched.
    """
    made, old = _beside(folder)
    if _is_left(old):
        if not os.path.lexists(folder):
            old.rename(folder)
        elif _is_export(folder):
            shutil.rmtree(old)
    if _is_left(made):
        shutil.rmtree(made)


def _is_export(folder: Path) -> bool:
    """Whether this is an export, whole or begun, with nothing else in it."""
    return _is_folder(folder) and (folder / MARK).is_file() and not _foreign(folder)


def _is_left(folder: Path) -> bool:
    """Whether a killed export left this folder: an export, or one of which nothing was finished yet."""
    return _is_export(folder) or (
        _is_folder(folder)
        and not _foreign(folder)
        and all(path.name.startswith(commit.TEMP_PREFIX) for path in folder.iterdir())
    )


def _is_folder(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink()


def _foreign(folder: Path) -> list[str]:
    """The names in a folder that no export writes: all that are no plain files under its names, or begun ones."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if not path.is_file()
        or path.is_symlink()
        or not (path.name in _NAMES or path.name.startswith(commit.TEMP_PREFIX))
    )
