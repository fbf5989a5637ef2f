"""Which layout a folder of videos has, where nobody says: the one reading there is, or a refusal with the options.

Labels and splits are never dropped or invented on a guess. Knows path components only.
"""

from pathlib import PurePosixPath

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.folder import layouts
from embedonce.pipeline.sources.folder.layouts import (
    CLASSES,
    CLASSES_OF_SPLITS,
    FLAT,
    SPLITS,
    SPLITS_OF_CLASSES,
    Parts,
    Structure,
    some,
)

MEANINGS = {
    CLASSES: "the folders are classes",
    SPLITS_OF_CLASSES: "splits that hold class folders",
    CLASSES_OF_SPLITS: "classes that hold split folders",
    SPLITS: "splits without classes",
    FLAT: "neither classes nor splits",
}


MANY = 3  # classes of one video each before that is told


class _UnclearError(Exception):
    """What was seen, and the layouts that may be meant, the likeliest first."""

    def __init__(self, seen: str, *options: str, hint: str = ""):
        super().__init__(seen)
        self.seen, self.options, self.hint = seen, options, hint


def structure_of(relative_paths: tuple[str, ...], layout: str | None = None, labels_wanted: bool = True) -> Structure:
    """Classes and splits as the folders of these files, relative POSIX paths, name them.

    layout: one of LAYOUTS, or None where it is to be found out. labels_wanted: False where classes come from
    elsewhere, so that only splits matter. InputError where the folders can be read in more than one way, or the
    layout does not fit.
    """
    paths = [PurePosixPath(path).parts for path in relative_paths]
    if layout is not None:
        return layouts.read_layout(paths, layout)
    try:
        found, note = _layout(paths, labels_wanted)
    except _UnclearError as unclear:
        shown = " or ".join(f"--layout {option} ({MEANINGS[option]})" for option in unclear.options)
        raise InputError(f"{unclear.seen}; {unclear.hint}pass {shown}") from unclear
    structure = layouts.read_layout(paths, found)
    return Structure(structure.classes, structure.labels, structure.splits, (note,) if note else (), found)


def _layout(paths: list[Parts], labels_wanted: bool) -> tuple[str, str]:
    """(layout, what to tell of it)"""
    tops = layouts.folders_at(paths, 0)
    strays = ["/".join(path) for path in paths if len(path) == 1]
    called = layouts.called_like_splits(tops)
    mentioned = {layouts.mentioned_split(top) for top in tops}
    if called and not strays and all(map(layouts.exact_split, tops)):
        return _inside_splits(paths, tops, labels_wanted)
    if called or (len(mentioned) > 1 and None not in mentioned):
        raise _beside_splits(paths, tops, called or tops, strays)
    _check_deeper_splits(paths, tops)
    if labels_wanted:
        return _classes(paths, tops, strays)
    return FLAT, ""


def _inside_splits(paths: list[Parts], tops: list[str], labels_wanted: bool) -> tuple[str, str]:
    if len({layouts.exact_split(top) for top in tops}) < len(tops):
        raise _UnclearError(
            f"several folders are called by one split ({some(tops, 6)})", SPLITS_OF_CLASSES, SPLITS, CLASSES
        )
    if not labels_wanted:
        return SPLITS, ""
    inner = [path[1:] for path in paths]
    names = layouts.folders_at(inner, 0)
    strays = ["/".join(path) for path in paths if len(path) == 2]
    if any(map(layouts.exact_split, names)):
        raise _UnclearError(
            f"folders called like splits lie in each other ({some(names)} in {some(tops)})", SPLITS, FLAT
        )
    if len(names) > 1 and strays:
        raise _stray(paths, strays, names, SPLITS_OF_CLASSES, SPLITS)
    below = layouts.folders_at(inner, 1)
    if len(names) == 1 and len(below) > 1:
        seen = f"in {some(tops)} all class folders ({some(below)}) lie in one folder, {layouts.readable(names[0])!r}"
        raise _UnclearError(seen, SPLITS, SPLITS_OF_CLASSES, hint="take that level of folders away, or ")
    if len(names) > 1:
        return SPLITS_OF_CLASSES, ""
    return SPLITS, f"no classes: the videos in {some(tops)} do not lie in two or more sub-folders"


def _beside_splits(paths: list[Parts], tops: list[str], called: list[str], strays: list[str]) -> _UnclearError:
    others = [top for top in tops if top not in called]
    beside = [
        *([f"{some(others)} beside {'them' if len(called) > 1 else 'it'}"] if others else []),
        *([f"{len(strays)} of {len(paths)} videos in no folder ({some(strays)})"] if strays else []),
    ]
    seen = f"{some(called)} {_are_splits(called)}" + (f", with {' and '.join(beside)}" if beside else "")
    with_classes = any(len(path) > 2 for path in paths if path[0] in called)
    options = (SPLITS_OF_CLASSES if with_classes else SPLITS,) if not others and not strays else ()
    hint = "move what is no part of a split away, or " if others or strays else ""
    return _UnclearError(seen, *options, CLASSES, FLAT, hint=hint)


def _check_deeper_splits(paths: list[Parts], tops: list[str]) -> None:
    """_UnclearError where splits lie further down, in a wrapper or in class folders: they would be lost."""
    depth = layouts.wrapper_depth(paths)
    for level in range(1, max(map(len, paths)) - 1):
        names = layouts.folders_at(paths, level)
        called = layouts.called_like_splits(names)
        if not called or (level > 1 and level > depth and len(called) < 2):
            continue
        place = "/".join(layouts.readable(part) for part in paths[0][:level])
        if level <= depth:
            below = any(len(path) > level + 2 for path in paths)
            likely = SPLITS_OF_CLASSES if below else SPLITS
            seen = f"all videos lie in {place!r}, under which {some(called)} {_are_splits(called)}"
            raise _UnclearError(seen, likely, CLASSES, FLAT, hint="give that folder as --data-dir, or ")
        seen = f"under {some(tops)} there are folders called like a split ({some(called)})"
        fits = all(len(path) > 2 and layouts.called_like_splits([path[1]]) for path in paths)
        raise _UnclearError(seen, *([CLASSES_OF_SPLITS] if fits else []), CLASSES, FLAT)


def _classes(paths: list[Parts], tops: list[str], strays: list[str]) -> tuple[str, str]:
    """The first-level folders as classes, where every video lies in one and there are at least two."""
    if len(tops) > 1 and not strays:
        return CLASSES, _odd_classes(paths, tops)
    if len(tops) > 1:
        raise _stray(paths, strays, tops, CLASSES)
    if not tops:
        return FLAT, "no classes: the videos do not lie in two or more sub-folders"
    depth = max(1, layouts.wrapper_depth(paths))
    inside = [path for path in paths if path[:depth] == _longest(paths)[:depth]]
    names = layouts.folders_at(inside, depth)
    place = "/".join(map(layouts.readable, inside[0][:depth]))
    if len(names) > 1:
        beside = f" but {some(strays)}" if strays else ""
        raise _UnclearError(
            f"all videos{beside} lie in the one folder {place!r}, under which there are {len(names)} folders "
            f"({some(names)})",
            *([] if strays else [CLASSES]),
            FLAT,
            hint="give that folder as --data-dir, or ",
        )
    if strays:
        return FLAT, f"no classes: {len(strays)} of {len(paths)} videos lie outside the sub-folders ({some(strays)})"
    return FLAT, f"no classes: all videos lie in the one folder {place!r}, not in two or more sub-folders"


def _odd_classes(paths: list[Parts], tops: list[str]) -> str:
    """What may speak against first-level folders as classes."""
    below = {top: {path[1] for path in paths if path[0] == top and len(path) > 2} for top in tops} if paths else {}
    shared = set.intersection(*below.values())
    if len(shared) > 1:
        return (
            f"the {len(tops)} folders taken as classes ({some(tops)}) have the same sub-folders "
            f"({some(sorted(shared))}); where those are the classes, put them on the first level"
        )
    if len(tops) == len(paths) > MANY:
        return "every folder taken as a class has one video; where the folders are no classes, pass --layout flat"
    return ""


def _longest(paths: list[Parts]) -> Parts:
    return max(paths, key=len)


def _stray(paths: list[Parts], strays: list[str], folders: list[str], *options: str) -> _UnclearError:
    return _UnclearError(
        f"not all videos lie in one of the {len(folders)} folders ({some(folders)}); {len(strays)} of {len(paths)} do "
        f"not: {some(strays)}",
        *options,
        FLAT,
        hint="move them away, or ",
    )


def _are_splits(names: list[str]) -> str:
    return "are called like splits" if len(names) > 1 else "is called like a split"
