"""Lists the video files of a folder and counts all its other files. Opens no video.

How the tree is walked: folder/walk.py; what its folders mean: folder/layouts.py.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.images.numbering import is_image
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
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
from embedonce.pipeline.sources.folder.remote_walk import walk_remote
from embedonce.pipeline.sources.folder.walk import FolderTree, walk
from embedonce.pipeline.sources.manifest.formats import SUFFIXES
from embedonce.pipeline.sources.source import DataFolder

SHOWN_SUFFIXES = 4


@dataclass(frozen=True)
class FolderListing:
    """The files of a folder, by relative POSIX path.

    usable: video files, sorted. unusable: (path, reason) of videos that cannot be opened. notes: remarks for the user.
    summary: one line with the number of files of every kind. aliases: (other path, path in usable) of videos that can
    be reached by several paths, through symbolic links.
    """

    usable: tuple[str, ...]
    unusable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    summary: str
    aliases: tuple[tuple[str, str], ...]


def find_videos(root: DataFolder) -> FolderListing:
    """All video files below root; symbolic links are followed. InputError if there is no folder or no video file.

    A video is recognized by its suffix, in any case, or by its first bytes if the suffix is unknown. Hidden files,
    system metadata and unfinished downloads are skipped by name. A file or folder with several paths is used once,
    under the path that is not a link.
    """
    if isinstance(root, Path):
        check_folder(root)
    tree = walk(root) if isinstance(root, Path) else walk_remote(root)
    usable, unusable = sorted(tree.files[VIDEO]), sorted(tree.unusable)
    if not usable and not unusable:
        raise InputError(
            f"no video file in {root} or below it (found: {_summary(tree)}); videos are recognized by their suffix "
            f"({' '.join(VIDEO_SUFFIXES)}) or their first bytes{_remedy(tree)}"
        )
    aliases = tuple(sorted([*tree.same_file, *_in_linked_folders(tree, usable)]))
    return FolderListing(tuple(usable), tuple(unusable), tuple(_notes(tree)), _summary(tree), aliases)


def _in_linked_folders(tree: FolderTree, usable: list[str]) -> list[tuple[str, str]]:
    """(path through a second link to a folder, path in usable). Links to a parent folder are cycles and left out."""
    links = [(name, first) for name, first in tree.same_folder if first != "." and not name.startswith(f"{first}/")]
    return [
        (name + video[len(first) :], video)
        for name, first in links
        for video in usable
        if video.startswith(f"{first}/")
    ]


def _summary(tree: FolderTree) -> str:
    """One line that counts every file."""
    videos = len(tree.files[VIDEO]) + sum(1 for name, _ in tree.unusable if file_kinds.kind_of_name(name) == VIDEO)
    counts = [count_of(videos, VIDEO) + _recognized(tree)] if videos or tree.files[VIDEO] else []
    for kind in (IMAGE, AUDIO, TEXT, ARCHIVE, OTHER):
        names = tree.files[kind]
        counts += [count_of(len(names), kind) + f" ({_suffixes(names)})"] if names else []
    skipped = [
        (len(tree.files[HIDDEN]), HIDDEN, ""),
        (len(tree.skipped_folders), "hidden or metadata folder", f" ({some(tree.skipped_folders)})"),
        (len(tree.files[UNFINISHED]), UNFINISHED, f" ({some(tree.files[UNFINISHED])})"),
        (len(tree.proxies), "low-resolution copy of a recording", f" ({some(tree.proxies)})"),
        (len(tree.same_file), "second name of a video", f" ({some([name for name, _ in tree.same_file])})"),
    ]
    shown = [count_of(number, what) + examples for number, what, examples in skipped if number]
    return (", ".join(counts) or "no files") + (f"; skipped {', '.join(shown)}" if shown else "")


def _recognized(tree: FolderTree) -> str:
    return f" ({len(tree.by_content)} by content: {some(tree.by_content)})" if tree.by_content else ""


def _notes(tree: FolderTree) -> list[str]:
    with_videos = [*tree.files[VIDEO], *(name for pairs in (tree.unusable, tree.same_file) for name, _ in pairs)]
    notes = folder_notes(tree, with_videos, "video")
    if tree.unreadable:
        files = count_of(len(tree.unreadable), "file")
        notes.append(f"{files} of unknown kind cannot be read: {some(tree.unreadable)}")
    return notes


def folder_notes(tree: FolderTree, names: list[str], what: str) -> list[str]:
    """What was observed about folders. names: of the files that are looked for; what: they are, such as "video"."""
    notes = []
    if tree.linked_folders:
        notes.append(f"{count_of(len(tree.linked_folders), 'linked folder')} followed: {some(tree.linked_folders)}")
    again = [f"{name} is {'the data folder' if first == '.' else first}" for name, first in tree.same_folder]
    if again:
        notes.append(f"{count_of(len(again), 'linked folder')} skipped, already read under another name: {some(again)}")
    without = _without(tree, names)
    if without:
        notes.append(f"{count_of(len(without), 'folder')} without any {what}: {some(without)}")
    return notes


def _without(tree: FolderTree, names: list[str]) -> list[str]:
    """The topmost folders without one of these files at any depth, such as classes that would be lost silently."""
    full = {"."} | {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    full |= {name for name, _ in tree.unusable}
    return [f for f in tree.folders if f not in full and PurePosixPath(f).parent.as_posix() in full]


def _remedy(tree: FolderTree) -> str:
    if tree.files[ARCHIVE]:
        return "; unpack the archives first"
    if any(map(is_image, tree.files[IMAGE])):
        if isinstance(tree.root, RemoteFolder):
            return "; images are read from local disks only: copy them to this machine"
        return "; images are read with --frames-rate FPS (folders of frames) or --frames-layout images (single images)"
    gifs = [name for name in tree.files[IMAGE] if file_kinds.suffix_of(name) == ".gif"]
    return "; write animated GIFs as videos first" if gifs else ""


def _suffixes(names: list[str]) -> str:
    """The most frequent suffixes of some files."""
    counts = Counter(file_kinds.suffix_of(name) or "no suffix" for name in names)
    shown = [suffix for suffix, _ in counts.most_common(SHOWN_SUFFIXES)]
    return some(shown, SHOWN_SUFFIXES) + (", …" if len(counts) > SHOWN_SUFFIXES else "")


def count_of(number: int, what: str) -> str:
    """Such as `1 folder` or `2 folders`."""
    plural = {"low-resolution copy of a recording": "low-resolution copies of recordings"}
    plural |= {"second name of a video": "second names of videos", UNFINISHED: "unfinished downloads or backups"}
    return f"{number} {what if number == 1 else plural.get(what, what + 's')}"


def check_folder(root: Path) -> None:
    """InputError, with what to do, if this is no folder that can be listed."""
    if root.suffix.lower() in SUFFIXES and root.is_file():
        raise InputError(f"{root} is a table: give it with --manifest {root}")
    if root.is_file():
        raise InputError(f"{root} is a file; give the folder that contains it")
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; give the folder that contains the videos")
    try:
        os.scandir(root).close()
    except OSError as error:
        raise InputError(f"cannot list {root}: {error.strerror}; make it readable or give another folder") from error
