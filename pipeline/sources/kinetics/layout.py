"""Finds the tables and the cut clips of Kinetics-400, -600 and -700."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.sources.folder.layouts import exact_split
from embedonce.pipeline.sources.manifest.headers import columns_of
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders, stem

LABEL, YOUTUBE_ID, START, END, SPLIT = "label", "youtube_id", "time_start", "time_end", "split"
_COLUMNS = frozenset((YOUTUBE_ID, START, END))
_TABLE_FOLDERS = (".", "annotations")
_TABLE = re.compile(
    r"((kinetics|k)[-_]?(400|600|700)?([-_]?2020)?[-_])?(?P<split>train|val|valid|validate|validation|test)\.csv",
    re.IGNORECASE,
)
_SPLIT_FOLDERS = {"train": ("train",), "val": ("val", "validate", "validation", "valid"), "test": ("test",)}
_PLACES = ("videos/{split}", "{split}", "videos_{split}")
_REPLACEMENTS = "replacement/replacement_for_corrupted_k400"  # preferred to the videos that they replace


def find_tables(root: Path) -> tuple[Path, dict[str, list[Path]]] | None:
    """(the folder, split -> its tables) of the first folder that has a table with labels; None if there is none."""
    for folder in (root / name for name in _TABLE_FOLDERS):
        tables = defaultdict(list)
        for path in sorted(folder.glob("*.csv")) if folder.is_dir() else ():
            match = _TABLE.fullmatch(path.name)
            split = exact_split(match["split"]) if match else None
            if split and columns_of(path) >= _COLUMNS:
                tables[split].append(path)
        if any(LABEL in columns_of(path) for paths in tables.values() for path in paths):
            return folder, dict(tables)
    return None


def checked_tables(root: Path) -> tuple[Path, dict[str, Path]]:
    """(the folder, split -> its table). InputError if there is none, or several tables for one split."""
    found = find_tables(root)
    if found is None:
        raise InputError(f"there is no table of Kinetics, such as train.csv with a column {YOUTUBE_ID}, in {root}")
    folder, tables = found
    for paths in tables.values():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise InputError(f"{folder} has several tables of the same split, {names}: leave one of them there")
    return folder, {split: tables[split][0] for split in _SPLIT_FOLDERS if split in tables}


def file_stem(youtube_id: str, start_sec: int, end_sec: int) -> str:
    """The name of a cut clip, without its suffix, as the common downloaders give it."""
    return f"{youtube_id}_{start_sec:06d}_{end_sec:06d}"


def uid_of(name: str) -> str:
    """The uid of the clip in a file, wherever the file is."""
    return path_uid(stem(name))


class ClipFiles:
    """The files of cut clips below a data folder, in folders of splits, of classes in these, or neither."""

    def __init__(self, root: Path):
        self._root, self._folders = root, VideoFolders(root)
        self._places: dict[tuple[str, str], list[str]] = {}  # those that exist, by split and class

    def name_of(self, clip: str, split: str, label: str) -> str:
        """The path, from the data folder, of a clip's file; where it is expected if it does not exist."""
        if (split, label) not in self._places:
            self._places[split, label] = [place for place in _places(split, label) if os.path.isdir(self._root / place)]
        return self._folders.find(clip, self._places[split, label]) or f"{split}/{label}/{clip}.mp4"

    def notes(self) -> list[str]:
        return self._folders.notes()


def _places(split: str, label: str) -> Iterator[str]:
    """Folders in which the clips of a class may be; the first one is preferred."""
    yield _REPLACEMENTS
    bases = [place.format(split=name) for name in _SPLIT_FOLDERS[split] for place in _PLACES]
    for base in bases:
        yield from (f"{base}/{folder}" for folder in _class_folders(label))
    yield from (*bases, "videos", ".")


def _class_folders(label: str) -> list[str]:
    """How downloaders call the folder of a class: `massaging person's head`, with underscores, without signs."""
    joined = label.replace(" ", "_")
    return [label, joined, re.sub(r"[()']", "", joined)]
