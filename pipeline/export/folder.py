"""The folder of an export: which folders may be replaced, and how a complete new one is put in place."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from embedonce.cache import commit
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.export.card import CARD_NAME
from embedonce.pipeline.export.registry import format_names, load_format
from embedonce.pipeline.export.source import SETTINGS_NAME, SOURCE_NAME
from embedonce.pipeline.export.weights import BACKBONE_NAME, CONFIG_NAME, PARTS_NAME
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME

MARK = SETTINGS_NAME  # its presence marks a folder as an export
PARITY_NAME = "parity.json"


def file_names() -> set[str]:
    """The names of all files that an export may write, whatever its formats; with `/` for those in folders."""
    models = {name for format_name in format_names() for name in load_format(format_name).file_names}
    own = {MARK, SOURCE_NAME, PARITY_NAME, CARD_NAME, CALIBRATION_NAME, CONFIG_NAME, BACKBONE_NAME, PARTS_NAME}
    return models | own


def check_folder(folder: Path, overwrite: bool) -> None:
    """InputError if an export may not replace this folder. folder: without links in its path."""
    if folder.parent.is_dir():
        with _locked(folder.parent):
            _recover(folder)
            _check(folder, overwrite)


def _check(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output-dir {folder} is a file; name a folder")
    present = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    foreign = _foreign(folder) if folder.exists() else []
    if foreign or (present and MARK not in present):
        raise InputError(
            f"--output-dir {folder} holds {(foreign or present)[0]}, which no export wrote; name a new or empty folder"
        )
    if present and not overwrite:
        raise InputError(f"{folder} already holds an export; give --overwrite to replace it")
    for path in _work_folders(folder):
        if os.path.lexists(path):  # leftovers of killed exports have been removed by now
            raise InputError(
                f"{path} is in the way: an export uses this name while it is published; rename it, or choose "
                "another --output-dir"
            )


def publish(folder: Path, files: dict[str, bytes], overwrite: bool) -> None:
    """Put all files under folder at once. The previous export stays until the new one is complete, and is restored if
    the new one cannot be put in place. InputError if the folder meanwhile holds something that may not be replaced."""
    commit.make_folder(folder.parent)
    with _locked(folder.parent):
        _recover(folder)
        _check(folder, overwrite)
        _replace(folder, files)


def _replace(folder: Path, files: dict[str, bytes]) -> None:
    partial, old = _work_folders(folder)
    try:
        commit.make_folder(partial)
        for name in sorted(files, key=lambda name: name != MARK):  # the mark first: it identifies a killed export
            commit.make_folder((partial / name).parent)
            commit.replace(partial / name, files[name])
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        commit.sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _recover(folder)


@contextlib.contextmanager
def _locked(parent: Path) -> Iterator[None]:
    """Hold a lock on the folder that exports are published into; another export waits for less than a second."""
    handle = os.open(parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot lock folders
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _work_folders(folder: Path) -> tuple[Path, Path]:
    """Where the new export is written, and where the previous one is kept meanwhile."""
    return folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")


def _recover(folder: Path) -> None:
    """Clean up after an export that was killed: restore the previous export if nothing replaced it.

    Folders that no export wrote are left alone.
    """
    partial, old = _work_folders(folder)
    if _is_leftover(old):
        if not os.path.lexists(folder):
            old.rename(folder)
        elif _is_export(folder):
            shutil.rmtree(old)
    if _is_leftover(partial):
        shutil.rmtree(partial)


def _is_export(folder: Path) -> bool:
    """Whether this is an export, complete or partial, that holds nothing else."""
    return _is_folder(folder) and (folder / MARK).is_file() and not _foreign(folder)


def _is_leftover(folder: Path) -> bool:
    """Whether a killed export left this folder: it holds an export, or only temporary files."""
    return _is_export(folder) or (
        _is_folder(folder)
        and not _foreign(folder)
        and all(path.name.startswith(commit.TEMP_PREFIX) for path in folder.iterdir())
    )


def _is_folder(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink()


def _foreign(folder: Path) -> list[str]:
    """The names in a folder that no export writes: neither regular files of an export nor temporary files."""
    known = file_names()
    folders = {str(parent) for name in known for parent in PurePosixPath(name).parents}
    return sorted(_unknown(folder, "", known, folders))


def _unknown(folder: Path, prefix: str, known: set[str], folders: set[str]) -> Iterator[str]:
    for path in folder.iterdir():
        name = prefix + path.name
        if name in folders and _is_folder(path):
            yield from _unknown(path, f"{name}/", known, folders)
            continue
        is_known = name in known or path.name.startswith(commit.TEMP_PREFIX)
        if not is_known or not path.is_file() or path.is_symlink():
            yield name
