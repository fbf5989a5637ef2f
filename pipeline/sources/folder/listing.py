"""The video files of a folder, and an account of every other file in it.

Opens no video and knows nothing of uids or clips. How the tree is walked: pipeline.folder_walk; what folders stand
for: pipeline.layouts.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.folder import file_kinds
from embedonce.pipeline.sources.folder.file_kinds import (
    ARCHIVE,
    AUDIO,
    HIDDEN,
    IMAGE,
    OTHER,
    TEXT,
    UNFINISHED,
    VIDEO,
    VIDEO_SUFFIXES,
)
from embedonce.pipeline.sources.folder.layouts import some
from embedonce.pipeline.sources.folder.walk import Walk, walk

SHOWN_SUFFIXES = 4


@dataclass(frozen=True)
class Found:
    """Video files by relative POSIX path, sorted; those that cannot be opened, with the reason; remarks.

    account: one line with the number of files of every kind. aliases: (other name, name in usable) of files that have
    several names in the folder, by links to files or to folders.
    """

    usable: tuple[str, ...]
    unusable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    account: str
    aliases: tuple[tuple[str, str], ...]


def find_videos(root: Path) -> Found:
    """All video files below root, links followed. InputError where there is no folder or no such file.

    A video is known by its suffix in any case, or by its first bytes where the suffix is unknown. Hidden files,
    metadata of systems and unfinished downloads are left out by name. A file or folder with several names is taken
    once, under a name that is no link.
    """
    _check_folder(root)
    found = walk(root)
    usable, unusable = sorted(found.files[VIDEO]), sorted(found.unusable)
    if not usable and not unusable:
        raise InputError(
            f"no video file in {root} or below it (found: {_account(found)}); a video is known by its suffix "
            f"({' '.join(VIDEO_SUFFIXES)}) or its first bytes{_remedy(found)}"
        )
    aliases = tuple(sorted([*found.same_file, *_in_linked_folders(found, usable)]))
    return Found(tuple(usable), tuple(unusable), tuple(_notes(found)), _account(found), aliases)


def _in_linked_folders(found: Walk, usable: list[str]) -> list[tuple[str, str]]:
    """(name behind the second way into a folder, name in usable); a way back to a folder around it is a cycle."""
    ways = [(name, first) for name, first in found.same_folder if first != "." and not name.startswith(f"{first}/")]
    return [
        (name + video[len(first) :], video) for name, first in ways for video in usable if video.startswith(f"{first}/")
    ]


def _account(found: Walk) -> str:
    """Every file in one line."""
    videos = len(found.files[VIDEO]) + sum(1 for name, _ in found.unusable if file_kinds.kind_of_name(name) == VIDEO)
    counts = [_count(videos, VIDEO) + _recognised(found)] if videos or found.files[VIDEO] else []
    for kind in (IMAGE, AUDIO, TEXT, ARCHIVE, OTHER):
        names = found.files[kind]
        counts += [_count(len(names), kind) + f" ({_suffixes(names)})"] if names else []
    skipped = [
        (len(found.files[HIDDEN]), HIDDEN, ""),
        (len(found.skipped_folders), "hidden or metadata folder", f" ({some(found.skipped_folders)})"),
        (len(found.files[UNFINISHED]), UNFINISHED, f" ({some(found.files[UNFINISHED])})"),
        (len(found.proxies), "low-resolution copy of a recording", f" ({some(found.proxies)})"),
        (len(found.same_file), "second name of a video", f" ({some([name for name, _ in found.same_file])})"),
    ]
    told = [_count(number, what) + examples for number, what, examples in skipped if number]
    return (", ".join(counts) or "no files") + (f"; skipped {', '.join(told)}" if told else "")


def _recognised(found: Walk) -> str:
    return f" ({len(found.by_content)} by content: {some(found.by_content)})" if found.by_content else ""


def _notes(found: Walk) -> list[str]:
    notes = []
    if found.linked_folders:
        notes.append(f"{_count(len(found.linked_folders), 'linked folder')} followed: {some(found.linked_folders)}")
    again = [f"{name} is {'the data folder' if first == '.' else first}" for name, first in found.same_folder]
    if again:
        notes.append(f"{_count(len(again), 'linked folder')} left out, being read under another name: {some(again)}")
    without = _without_videos(found)
    if without:
        notes.append(f"{_count(len(without), 'folder')} without any video: {some(without)}")
    if found.unreadable:
        notes.append(
            f"{_count(len(found.unreadable), 'file')} of unknown kind cannot be read: {some(found.unreadable)}"
        )
    return notes


def _without_videos(found: Walk) -> list[str]:
    """The topmost folders that hold no video at any depth: classes that would vanish without a word, for one."""
    names = [*found.files[VIDEO], *(name for pairs in (found.unusable, found.same_file) for name, _ in pairs)]
    with_videos = {"."} | {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    with_videos |= {name for name, _ in found.unusable}
    return [
        folder
        for folder in found.folders
        if folder not in with_videos and PurePosixPath(folder).parent.as_posix() in with_videos
    ]


def _remedy(found: Walk) -> str:
    gifs = [name for name in found.files[IMAGE] if file_kinds.suffix_of(name) == ".gif"]
    if found.files[ARCHIVE]:
        return "; unpack the archives first"
    return "; write animated GIFs as videos first" if gifs else ""


def _suffixes(names: list[str]) -> str:
    """The commonest suffixes of some files."""
    counts = Counter(file_kinds.suffix_of(name) or "no suffix" for name in names)
    shown = [suffix for suffix, _ in counts.most_common(SHOWN_SUFFIXES)]
    return some(shown, SHOWN_SUFFIXES) + (", …" if len(counts) > SHOWN_SUFFIXES else "")


def _count(number: int, what: str) -> str:
    plural = {"low-resolution copy of a recording": "low-resolution copies of recordings"}
    plural |= {"second name of a video": "second names of videos", UNFINISHED: "unfinished downloads or backups"}
    return f"{number} {what if number == 1 else plural.get(what, what + 's')}"


def _check_folder(root: Path) -> None:
    if root.is_file():
        raise InputError(f"{root} is a file; give the folder that holds it")
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; give the folder that holds the videos")
    try:
        os.scandir(root).close()
    except OSError as error:
        raise InputError(f"cannot list {root}: {error.strerror}; make it readable or give another folder") from error
