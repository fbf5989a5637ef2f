"""Infers the layout of a folder of videos from folder names; an ambiguous folder is refused with the options to pass.

Labels and splits are never dropped or guessed. Works on path components only.
"""

from dataclasses import dataclass, replace
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
    SPLITS_OF_CLASSES: "split folders that contain class folders",
    CLASSES_OF_SPLITS: "class folders that contain split folders",
    SPLITS: "splits without classes",
    FLAT: "neither classes nor splits",
}
MAX_SINGLE_VIDEO_CLASSES = 3  # a note is added if there are more and every class has one video


@dataclass(frozen=True)
class _Inferred:
    """A layout, a remark for the user, and why there are no classes."""

    layout: str
    note: str = ""
    no_classes_reason: str = ""


def _without_classes(layout: str, reason: str) -> _Inferred:
    return _Inferred(layout, reason, reason)


class _AmbiguousError(Exception):
    """What was found, and the layouts that it may be, the most likely first."""

    def __init__(self, finding: str, *options: str, hint: str = ""):
        super().__init__(finding)
        self.finding, self.options, self.hint = finding, options, hint


def structure_of(relative_paths: tuple[str, ...], layout: str | None = None, needs_labels: bool = True) -> Structure:
    """Classes and splits of these files, according to the names of their folders.

    relative_paths: POSIX paths. layout: one of LAYOUTS, or None to infer it. needs_labels: False if only splits matter.
    InputError if the folders can be read in several ways, or if the layout does not fit.
    """
    paths = [PurePosixPath(path).parts for path in relative_paths]
    if layout is not None:
        return layouts.read_layout(paths, layout)
    try:
        inferred = _infer(paths, needs_labels)
    except _AmbiguousError as error:
        options = " or ".join(f"--layout {option} ({MEANINGS[option]})" for option in error.options)
        raise InputError(f"{error.finding}; {error.hint}pass {options}") from error
    structure = layouts.read_layout(paths, inferred.layout)
    notes = (inferred.note,) if inferred.note else ()
    return replace(structure, notes=notes, no_classes_reason=inferred.no_classes_reason)


def _infer(paths: list[Parts], needs_labels: bool) -> _Inferred:
    tops = layouts.folders_at(paths, 0)
    strays = ["/".join(path) for path in paths if len(path) == 1]
    split_tops = layouts.split_folders(tops)
    mentioned = {layouts.mentioned_split(top) for top in tops}
    if split_tops and not strays and all(map(layouts.exact_split, tops)):
        return _infer_inside_splits(paths, tops, needs_labels)
    if split_tops or (len(mentioned) > 1 and None not in mentioned):
        raise _mixed_with_splits(paths, tops, split_tops or tops, strays)
    _check_deeper_splits(paths, tops)
    if needs_labels:
        return _infer_classes(paths, tops, strays)
    return _Inferred(FLAT)


def _infer_inside_splits(paths: list[Parts], tops: list[str], needs_labels: bool) -> _Inferred:
    if len({layouts.exact_split(top) for top in tops}) < len(tops):
        raise _AmbiguousError(
            f"several folders are named after the same split ({some(tops, 6)})", SPLITS_OF_CLASSES, SPLITS, CLASSES
        )
    if not needs_labels:
        return _Inferred(SPLITS)
    inner = [path[1:] for path in paths]
    names = layouts.folders_at(inner, 0)
    strays = ["/".join(path) for path in paths if len(path) == 2]
    if any(map(layouts.exact_split, names)):
        raise _AmbiguousError(
            f"folders named like splits are inside each other ({some(names)} in {some(tops)})", SPLITS, FLAT
        )
    if len(names) > 1 and strays:
        raise _outside_folders(paths, strays, names, SPLITS_OF_CLASSES, SPLITS)
    below = layouts.folders_at(inner, 1)
    if len(names) == 1 and len(below) > 1:
        finding = f"in {some(tops)} all class folders ({some(below)}) are in one folder, {layouts.readable(names[0])!r}"
        raise _AmbiguousError(finding, SPLITS, SPLITS_OF_CLASSES, hint="remove that folder level, or ")
    if len(names) > 1:
        return _Inferred(SPLITS_OF_CLASSES)
    return _without_classes(SPLITS, f"no classes: the videos in {some(tops)} are not in two or more sub-folders")


def _mixed_with_splits(
    paths: list[Parts], tops: list[str], split_tops: list[str], strays: list[str]
) -> _AmbiguousError:
    """Some top-level folders are named like splits; other folders or videos are next to them."""
    others = [top for top in tops if top not in split_tops]
    neighbors = [
        *([f"{some(others)} next to {'them' if len(split_tops) > 1 else 'it'}"] if others else []),
        *([f"{len(strays)} of {len(paths)} videos in no folder ({some(strays)})"] if strays else []),
    ]
    finding = f"{some(split_tops)} {_are_splits(split_tops)}" + (
        f", with {' and '.join(neighbors)}" if neighbors else ""
    )
    has_classes = any(len(path) > 2 for path in paths if path[0] in split_tops)
    options = (SPLITS_OF_CLASSES if has_classes else SPLITS,) if not others and not strays else ()
    hint = "move everything that is not part of a split away, or " if others or strays else ""
    return _AmbiguousError(finding, *options, CLASSES, FLAT, hint=hint)


def _check_deeper_splits(paths: list[Parts], tops: list[str]) -> None:
    """_AmbiguousError if there are splits further down, in a wrapper folder or in class folders: they would be lost."""
    depth = layouts.wrapper_depth(paths)
    for level in range(1, max(map(len, paths)) - 1):
        names = layouts.folders_at(paths, level)
        splits = layouts.split_folders(names)
        if not splits or (level > 1 and level > depth and len(splits) < 2):
            continue
        place = "/".join(layouts.readable(part) for part in paths[0][:level])
        if level <= depth:
            below = any(len(path) > level + 2 for path in paths)
            likely = SPLITS_OF_CLASSES if below else SPLITS
            finding = f"all videos are in {place!r}, in which {some(splits)} {_are_splits(splits)}"
            raise _AmbiguousError(finding, likely, CLASSES, FLAT, hint="give that folder as --data-dir, or ")
        finding = f"in {some(tops)} there are folders named like a split ({some(splits)})"
        fits = all(len(path) > 2 and layouts.split_folders([path[1]]) for path in paths)
        raise _AmbiguousError(finding, *([CLASSES_OF_SPLITS] if fits else []), CLASSES, FLAT)


def _infer_classes(paths: list[Parts], tops: list[str], strays: list[str]) -> _Inferred:
    """The top-level folders as classes, if there are at least two and every video is in one of them."""
    if len(tops) > 1 and not strays:
        return _Inferred(CLASSES, _doubtful_classes(paths, tops))
    if len(tops) > 1:
        raise _outside_folders(paths, strays, tops, CLASSES)
    if not tops:
        return _without_classes(FLAT, "no classes: the videos are not in two or more sub-folders")
    depth = max(1, layouts.wrapper_depth(paths))
    inside = [path for path in paths if path[:depth] == _longest(paths)[:depth]]
    names = layouts.folders_at(inside, depth)
    place = "/".join(map(layouts.readable, inside[0][:depth]))
    if len(names) > 1:
        exceptions = f" except {some(strays)}" if strays else ""
        raise _AmbiguousError(
            f"all videos{exceptions} are in the single folder {place!r}, which contains {len(names)} folders "
            f"({some(names)})",
            *([] if strays else [CLASSES]),
            FLAT,
            hint="give that folder as --data-dir, or ",
        )
    if strays:
        reason = f"no classes: {len(strays)} of {len(paths)} videos are outside the sub-folders ({some(strays)})"
    else:
        reason = f"no classes: all videos are in the single folder {place!r}, not in two or more sub-folders"
    return _without_classes(FLAT, reason)


def _doubtful_classes(paths: list[Parts], tops: list[str]) -> str:
    """A reason to doubt that the top-level folders are classes, or ""."""
    below = {top: {path[1] for path in paths if path[0] == top and len(path) > 2} for top in tops} if paths else {}
    shared = set.intersection(*below.values())
    if len(shared) > 1:
        return (
            f"the {len(tops)} folders used as classes ({some(tops)}) have the same sub-folders "
            f"({some(sorted(shared))}); if those are the classes, move them to the top level"
        )
    if len(tops) == len(paths) > MAX_SINGLE_VIDEO_CLASSES:
        return "every folder used as a class has one video; if the folders are not classes, pass --layout flat"
    return ""


def _longest(paths: list[Parts]) -> Parts:
    return max(paths, key=len)


def _outside_folders(paths: list[Parts], strays: list[str], folders: list[str], *options: str) -> _AmbiguousError:
    return _AmbiguousError(
        f"not all videos are in one of the {len(folders)} folders ({some(folders)}); {len(strays)} of {len(paths)} are "
        f"not: {some(strays)}",
        *options,
        FLAT,
        hint="move them away, or ",
    )


def _are_splits(names: list[str]) -> str:
    return "are named like splits" if len(names) > 1 else "is named like a split"
