"""Folder layouts: what the folder levels of a data set mean (classes, splits or nothing), and reading paths by one.

Works on path components only. Which layout a folder has: layout_inference.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.class_names import is_plain, words

FLAT, CLASSES, SPLITS = "flat", "classes", "splits"
SPLITS_OF_CLASSES, CLASSES_OF_SPLITS = "splits/classes", "classes/splits"
LAYOUTS = (CLASSES, SPLITS_OF_CLASSES, CLASSES_OF_SPLITS, SPLITS, FLAT)
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_VARIANTS = {"trainval": "train", "trainset": "train", "valset": "val", "testset": "test", "tests": "test"}
_FILLERS = "set split data dataset video videos clip clips frame frames image images part fold list rgb p px subset"
_FILLER_WORDS = frozenset(_FILLERS.split())

Parts = tuple[str, ...]  # the components of a relative path, the file's name last


@dataclass(frozen=True)
class Structure:
    """Classes and splits read from folder names.

    labels: index into classes of each file, or None. splits: "train", "val" or "test" of each file, or None. layout:
    one of LAYOUTS. notes: remarks for the user. no_classes_reason: why no classes were found, or "".
    """

    classes: tuple[str, ...]
    labels: tuple[int | None, ...]
    splits: tuple[str | None, ...]
    notes: tuple[str, ...]
    layout: str = FLAT
    no_classes_reason: str = ""


def exact_split(folder: str) -> str | None:
    """The split that a folder is named after, in any case: "train", "val", "test", or None."""
    return SPLIT_NAMES.get(folder.casefold())


def likely_split(folder: str) -> str | None:
    """Like exact_split(), but also for names with numbers and filler words: train_256, "Test Videos", trainval."""
    named = [word for word in _split_words(folder) if word not in _FILLER_WORDS]
    return (SPLIT_NAMES | _VARIANTS).get(named[0]) if len(named) == 1 else None


def split_folders(folders: list[str]) -> list[str]:
    """The folders that are named like a split, exactly or with numbers and filler words."""
    return [folder for folder in folders if exact_split(folder) or likely_split(folder)]


def mentioned_split(folder: str) -> str | None:
    """The split that a name mentions anywhere, such as k400_train; None if it mentions none or several."""
    mentioned = {split for word in _split_words(folder) if (split := (SPLIT_NAMES | _VARIANTS).get(word))}
    return mentioned.pop() if len(mentioned) == 1 else None


def read_layout(paths: list[Parts], layout: str) -> Structure:
    """Classes and splits according to a layout.

    Folders that contain all files are skipped, unless the layout needs them as a level. Files outside the class folders
    have no label. InputError if the layout does not fit.
    """
    if layout == FLAT:
        return Structure((), (None,) * len(paths), (None,) * len(paths), (), FLAT)
    base = _base(paths, layout)
    levels = {name: base + depth for depth, name in enumerate(layout.split("/"))}
    split_level, class_level = levels.get(SPLITS), levels.get(CLASSES)
    if class_level is not None and layout == SPLITS_OF_CLASSES:
        class_level += _inner_depth([path[class_level:] for path in paths])
    splits = [None if split_level is None else _split_at(path, split_level, layout) for path in paths]
    names = [None if class_level is None else _folder_at(path, class_level) for path in paths]
    classes = sorted({name for name in names if name is not None})
    if class_level is not None and not classes:
        raise InputError(f"--layout {layout} does not fit: no video is in a folder that could be a class")
    label_of = {name: label for label, name in enumerate(classes)}
    labels = tuple(None if name is None else label_of[name] for name in names)
    notes = [f"the folder {'/'.join(paths[0][:base])!r} contains all videos and is not used"] if base else []
    strays = ["/".join(path) for path, name in zip(paths, names, strict=True) if name is None]
    if class_level is not None and strays:
        notes.append(f"{len(strays)} of {len(paths)} videos are in no class folder and are unlabeled ({some(strays)})")
    return Structure(tuple(map(readable, classes)), labels, tuple(splits), tuple(notes), layout)


def wrapper_depth(paths: list[Parts]) -> int:
    """Number of leading folders that all paths share."""
    depth = 0
    while all(len(path) > depth + 1 and path[depth] == paths[0][depth] for path in paths):
        depth += 1
    return depth


def readable(name: str) -> str:
    """A folder name as printable text; bytes that are not printable text are escaped."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if is_plain(text) else "".join(char if is_plain(char) else repr(char)[1:-1] for char in text)


def some(names: list[str], most: int = 3) -> str:
    """The first few names as one line of printable text."""
    return ", ".join(map(readable, names[:most])) + (", …" if len(names) > most else "")


def folders_at(paths: list[Parts], level: int) -> list[str]:
    """Sorted names of the folders at a level; 0 is the top."""
    return sorted({path[level] for path in paths if len(path) > level + 1})


def _base(paths: list[Parts], layout: str) -> int:
    """The folder level at which the layout begins."""
    depth = wrapper_depth(paths)
    if layout.startswith(SPLITS):
        return _first(range(depth + 1), lambda level: bool(_splits(folders_at(paths, level))), layout)
    needed = 1 if layout == CLASSES else 2
    return _first(range(depth, -1, -1), lambda level: any(len(path) > level + needed for path in paths), layout)


def _inner_depth(paths: list[Parts]) -> int:
    """Number of folder levels between the splits and the classes; 0 if there are no classes below."""
    depth = wrapper_depth(paths)
    return depth if any(len(path) > depth + 1 for path in paths) else 0


def _first(levels: range, fits: Callable[[int], bool], layout: str) -> int:
    for level in levels:
        if fits(level):
            return level
    raise InputError(f"--layout {layout} does not fit: the videos are not in such folders")


def _splits(folders: list[str]) -> list[str]:
    return [folder for folder in folders if _any_split(folder)]


def _any_split(folder: str) -> str | None:
    return exact_split(folder) or likely_split(folder) or mentioned_split(folder)


def _split_at(path: Parts, level: int, layout: str) -> str:
    folder = _folder_at(path, level)
    split = folder and _any_split(folder)
    if not split:
        raise InputError(
            f"--layout {layout} does not fit: {readable('/'.join(path))} is in no folder named like a split (train, "
            "val or test); move it away"
        )
    return split


def _folder_at(path: Parts, level: int) -> str | None:
    return path[level] if len(path) > level + 1 else None


def _split_words(folder: str) -> list[str]:
    return re.findall(r"[a-z]+", words(folder))
