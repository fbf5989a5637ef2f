"""Finds lists of files, the names of their classes, and the videos that they name."""

import os
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from embedonce.cache.stores.registry import is_url
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.sources.file_lists.lines import is_entry
from embedonce.pipeline.sources.folder.layouts import exact_split
from embedonce.pipeline.sources.manifest.table import TableError
from embedonce.pipeline.sources.manifest.text_lines import text_lines
from embedonce.pipeline.sources.manifest.video_folders import first_existing

SPLITS = ("train", "val", "test")
_FOLDERS = (".", "annotations", "lists")  # of the lists
_LIST = re.compile(
    r"([\w-]+[_-])?(?P<split>train|val|valid|validation|test)([_-]list)?([_-]videos)?\.(txt|csv)", re.IGNORECASE
)
_CLASSES = re.compile(r"(labels|classes|class_names|label_map(_\w+)?)\.(txt|csv)", re.IGNORECASE)
_PLACES = (".", "{split}", "videos_{split}", "videos/{split}", "videos")  # of the videos; the first one is preferred


def find_lists(root: Path) -> tuple[Path, dict[str, list[Path]]] | None:
    """(the folder, split -> its lists) of the first folder that has a list of training or validation videos."""
    for folder in (root / name for name in _FOLDERS):
        lists = defaultdict(list)
        for path, match in _matches(folder, _LIST):
            split = exact_split(match["split"])
            if split and is_entry(_first_line(path)):
                lists[split].append(path)
        if "train" in lists or "val" in lists:
            return folder, dict(lists)
    return None


def checked_lists(root: Path) -> tuple[Path, dict[str, Path]]:
    """(the folder, split -> its list). InputError if there are several lists for one split."""
    found = find_lists(root)
    assert found is not None  # find_lists() recognized the folder
    folder, lists = found
    return folder, {split: _single(lists[split], f"lists of {split} videos") for split in SPLITS if split in lists}


def classes_file(folder: Path) -> Path | None:
    """The file next to the lists that names the classes; None if there is none. InputError if there are several."""
    paths = [path for path, _ in _matches(folder, _CLASSES)]
    return _single(paths, "files of class names") if paths else None


def place_of(root: Path, name: str, split: str, cached_uids: Collection[str]) -> str:
    """The path, from the data folder, of the video that a list names; if it does not exist, where it was when it was
    added to the cache, or else as it is written.
    """
    if is_url(name) or name.startswith("/"):
        return name
    places = [(PurePosixPath(place.format(split=split)) / name).as_posix() for place in _PLACES]
    found = first_existing(root, places)
    if cached_uids and not os.path.isfile(root / found):
        return next((place for place in places if path_uid(place) in cached_uids), found)
    return found


def _matches(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """The files in a folder with such names; none if it cannot be read, which whoever opens the folder reports."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    matches = [(folder / name, match) for name in names if (match := pattern.fullmatch(name))]
    return sorted(((path, match) for path, match in matches if path.is_file()), key=lambda found: found[0])


def _single(paths: list[Path], what: str) -> Path:
    if len(paths) > 1:
        names = " and ".join(path.name for path in paths)
        raise InputError(f"{paths[0].parent} has several {what}, {names}: leave one of them there")
    return paths[0]


def _first_line(path: Path) -> str:
    """The first line with text; "" if there is none, or if the file cannot be read."""
    try:
        return next((line.strip() for line in text_lines(path) if line.strip()), "")
    except (OSError, TableError):
        return ""
