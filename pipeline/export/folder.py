"""The folder of an export: what may be put in its place, and how a whole new one takes it. Knows names and bytes."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cache import commit
from pipeline.errors import InputError

MARK = "export_config.yaml"  # a folder that holds it is an export
OTHERS = ("README.md", "config.json", "parity.json", "model.safetensors", "student_parts.safetensors")
MODELS = ("frames.fp32.onnx", "frames.fp16.onnx", "frames.int8.onnx", "clip.onnx", "frames.pte", "clip.pte")


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
    foreign = [name for name in there if name not in (MARK, *OTHERS, *MODELS)]
    if foreign or (there and MARK not in there):
        raise InputError(
            f"--output-dir {folder} holds {(foreign or there)[0]}, which is of no export; name a new or empty folder"
        )
    if there and not overwrite:
        raise InputError(f"{folder} holds an export already; give --overwrite to put this one in its place")


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
        for name, data in files.items():
            commit.replace(made / name, data)
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
    """Leave nothing of an attempt that was killed: what it had set aside comes back where nothing took its place."""
    made, old = _beside(folder)
    if old.exists():
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)
    if made.exists():
        shutil.rmtree(made)
