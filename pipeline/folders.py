"""What a folder of video files says by its structure: which files there are, their classes and their splits.

Knows paths and suffixes; opens no video, and knows nothing of uids or clips.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import InputError

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v", ".vob"),
    *(".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".mxf", ".h264", ".264", ".h265", ".265", ".hevc"),
    *(".ivf", ".y4m"),
)
SPLIT_FOLDERS = ("train", "val", "test")


@dataclass(frozen=True)
class Found:
    """Video files by relative POSIX path, sorted; those that cannot be opened, with the reason; remarks."""

    usable: tuple[str, ...]
    unusable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Structure:
    """classes, and for each file its class (an index, or None) and its split (or None: not said)."""

    classes: tuple[str, ...]
    labels: tuple[int | None, ...]
    splits: tuple[str | None, ...]
    notes: tuple[str, ...]


def find_videos(root: Path) -> Found:
    """Files below root with a video's suffix (in any case). InputError where there is no folder or no such file.

    Hidden names are skipped. A link to a file counts as a file; a linked folder is not entered (it could lead
    back to where it stands) and is noted.
    """
    _check_folder(root)
    usable, unusable, linked = [], [], []

    def unreadable(error: OSError) -> None:
        unusable.append((Path(error.filename).relative_to(root).as_posix(), f"cannot be listed: {error.strerror}"))

    for folder, subfolders, files in os.walk(root, onerror=unreadable):
        here = Path(folder)
        visible = [name for name in subfolders if not name.startswith(".")]
        linked += [(here / name).relative_to(root).as_posix() for name in visible if (here / name).is_symlink()]
        subfolders[:] = visible
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                reason = _why_unusable(here / name)
                relative = (here / name).relative_to(root).as_posix()
                if reason:
                    unusable.append((relative, reason))
                else:
                    usable.append(relative)
    if not usable and not unusable:
        raise InputError(
            f"no video file in {root} or below it; looked for names ending in {' '.join(VIDEO_SUFFIXES)}"
            + (f" (linked folders are not entered: {_some(linked)})" if linked else "")
        )
    notes = (f"linked folders are not entered; give them by themselves: {_some(linked)}",) if linked else ()
    return Found(tuple(sorted(usable)), tuple(sorted(unusable)), notes)


def structure_of(relative_paths: tuple[str, ...]) -> Structure:
    """Classes and splits as the folders of these files name them.

    Where all files lie in first-level folders called train, val or test, those are the splits and the folders one
    level deeper are the classes; else the first-level folders are. They are classes only where every file lies in
    one and there are at least two.
    """
    parts = [PurePosixPath(path).parts for path in relative_paths]
    has_splits = all(len(part) > 1 and part[0] in SPLIT_FOLDERS for part in parts)
    level = 1 if has_splits else 0
    splits = tuple(part[0] if has_splits else None for part in parts)
    outside = [path for path, part in zip(relative_paths, parts, strict=True) if len(part) < level + 2]
    names = sorted({part[level] for part in parts if len(part) > level + 1})
    if outside or len(names) < 2:
        if outside and names:
            reason = f"{len(outside)} of {len(parts)} videos lie outside the sub-folders ({_some(outside)})"
        else:
            reason = "the videos do not lie in two or more sub-folders"
        return Structure((), (None,) * len(parts), splits, (f"no classes: {reason}",))
    labels = tuple(names.index(part[level]) for part in parts)
    return Structure(tuple(_readable(name) for name in names), labels, splits, ())


def _check_folder(root: Path) -> None:
    if root.is_file():
        raise InputError(f"{root} is a file; give the folder that holds it")
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; give the folder that holds the videos")
    try:
        os.scandir(root).close()
    except OSError as error:
        raise InputError(f"cannot list {root}: {error.strerror}; make it readable or give another folder") from error


def _why_unusable(path: Path) -> str:
    """Why this name cannot be opened as a file; empty where it can. A pipe or device would hang whoever opens it."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "it is a link to nothing"
    except OSError as error:
        return f"it cannot be reached: {error.strerror}"
    return "" if stat.S_ISREG(mode) else "it is not a regular file"


def _readable(name: str) -> str:
    """A folder's name as printable text, whatever bytes it holds."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else repr(text)[1:-1]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
