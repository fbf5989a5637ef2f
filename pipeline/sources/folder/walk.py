"""Walks a folder tree, following links to folders; every file and folder is visited once.

Reads at most the first bytes of a file, and only if its name does not identify it.
"""

import os
import stat
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from embedonce.pipeline.sources.folder import file_kinds
from embedonce.pipeline.sources.folder.file_kinds import HEAD_BYTES, OTHER, VIDEO
from embedonce.pipeline.sources.source import DataFolder, VideoPath

_Inode = tuple[int, int] | str


@dataclass
class FolderTree:
    """The contents of a folder tree. Names are relative POSIX paths.

    files: by kind; only videos that can be opened. unusable: (name, reason) of videos and folders that cannot be
    opened. by_content: videos recognized by their first bytes. same_file: (link, its target), both in the tree.
    same_folder: the same for folders that were reached twice, including cycles. linked_folders: links to folders that
    were followed. folders: all folders that were read, without the root. skipped_folders: system and hidden folders.
    unreadable: files of unknown kind that cannot be read. proxies: low-resolution previews of recordings in the tree.
    """

    root: DataFolder
    files: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unusable: list[tuple[str, str]] = field(default_factory=list)
    by_content: list[str] = field(default_factory=list)
    same_file: list[tuple[str, str]] = field(default_factory=list)
    same_folder: list[tuple[str, str]] = field(default_factory=list)
    linked_folders: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped_folders: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    proxies: list[str] = field(default_factory=list)


def walk(root: Path) -> FolderTree:
    """Visit every file below root; real folders before linked ones, so that files are not named after links."""
    tree = FolderTree(root)
    found = visit_folders(tree)
    sort_files(tree, [(f"{folder}{file.name}", file.is_symlink()) for folder, files in found for file in files])
    return tree


def visit_folders(tree: FolderTree) -> Iterator[tuple[str, list[os.DirEntry]]]:
    """Visit every folder below the root of an empty tree, and the root; adds to the tree all but the files.

    Yields (name of the folder, with a slash behind it; "" for the root, and its files in order).
    """
    assert isinstance(tree.root, Path)
    seen_folders: dict[_Inode, str] = {_inode(tree.root, tree.root.stat()): "."}
    waiting: list[Path] = [tree.root]
    links: deque[Path] = deque()
    while waiting or links:
        if waiting:
            folder = waiting.pop()
            files, inside = _list(tree, folder, links, seen_folders)
            waiting += inside
            yield "" if folder == tree.root else f"{_relative(tree, folder)}/", files
            continue
        entered = _enter(tree, links.popleft(), seen_folders)
        tree.linked_folders += [_relative(tree, folder) for folder in entered]
        waiting += entered
    tree.folders = sorted(name for name in seen_folders.values() if name != ".")
    tree.skipped_folders.sort()


def _list(
    tree: FolderTree, folder: Path, links: deque[Path], seen: dict[_Inode, str]
) -> tuple[list[os.DirEntry], list[Path]]:
    """(the files of a folder, its real sub-folders); its links to folders are appended to links."""
    try:
        with os.scandir(folder) as scanned:
            listed = sorted(scanned, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        tree.unusable.append((_relative(tree, folder), f"cannot be listed: {error.strerror}"))
        return [], []
    files, inside = [], []
    for entry in listed:
        path = folder / entry.name
        if not _is_folder(entry):
            files.append(entry)
        elif file_kinds.is_metadata_folder(entry.name):
            tree.skipped_folders.append(_relative(tree, path))
        elif entry.is_symlink():
            links.append(path)
        else:
            inside += _enter(tree, path, seen)
    return files, inside[::-1]


def _enter(tree: FolderTree, folder: Path, seen: dict[_Inode, str]) -> list[Path]:
    """[folder], or [] if it cannot be read or was visited before."""
    try:
        inode = _inode(folder, folder.stat())
    except OSError as error:
        tree.unusable.append((_relative(tree, folder), f"cannot be reached: {error.strerror}"))
        return []
    name = _relative(tree, folder)
    if inode in seen:
        tree.same_folder.append((name, seen[inode]))
        return []
    seen[inode] = name
    return [folder]


def sort_files(tree: FolderTree, entries: list[tuple[str, bool]]) -> None:
    """Sort all files by kind; of several names of one video, the first that is not a link is used."""
    recordings = _recordings(name for name, _ in entries)
    seen: dict[_Inode, str] = {}
    for name, _ in sorted(entries, key=lambda entry: (entry[1], os.fsencode(entry[0]))):
        kind = file_kinds.kind_of_name(_last(name))
        if kind not in (None, VIDEO):
            tree.files[kind].append(name)
            continue
        path = tree.root / name
        inode, reason = regular_file(path)
        if reason:
            _note_unusable(tree, name, kind, reason)
        elif any(f"{name.rpartition('/')[0]}/{stem}" in recordings for stem in file_kinds.proxy_of(_last(name))):
            tree.proxies.append(name)
        elif kind == VIDEO or _probe(tree, path, name):
            if inode in seen:
                tree.same_file.append((name, seen[inode]))
                continue
            seen[inode] = name
            tree.files[VIDEO].append(name)
            tree.by_content += [name] if kind is None else []


def _recordings(names: Iterable[str]) -> set[str]:
    """Folder and stem of the files that may be full recordings, whose previews are skipped."""
    last = ((name, _last(name)) for name in names)
    kinds = (None, VIDEO)
    return {_stem(n) for n, short in last if not file_kinds.proxy_of(short) and file_kinds.kind_of_name(short) in kinds}


def _note_unusable(tree: FolderTree, name: str, kind: str | None, reason: str) -> None:
    if kind == VIDEO:
        tree.unusable.append((name, reason))
    else:
        tree.files[OTHER].append(name)
        tree.unreadable.append(name)


def _probe(tree: FolderTree, path: VideoPath, name: str) -> bool:
    """Whether a file is a video by its first bytes; other files are added to their kind."""
    try:
        with path.open("rb") as file:
            kind = file_kinds.kind_of_bytes(file.read(HEAD_BYTES))
    except OSError:
        kind = OTHER
        tree.unreadable.append(name)
    if kind != VIDEO:
        tree.files[kind].append(name)
    return kind == VIDEO


def regular_file(path: VideoPath) -> tuple[_Inode, str]:
    """(inode, why this file cannot be opened or ""). Opening a pipe or a device could block forever."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "", "it is a broken link"
    except OSError as error:
        return "", f"it cannot be reached: {error.strerror}"
    return _inode(path, status), "" if stat.S_ISREG(status.st_mode) else "it is not a regular file"


def _inode(path: VideoPath, status: os.stat_result) -> _Inode:
    """A key that is equal for all names of the same file or folder."""
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(str(path))


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # such as a circular link; stat() gives the reason later


def _relative(tree: FolderTree, path: Path) -> str:
    assert isinstance(tree.root, Path)
    return path.relative_to(tree.root).as_posix()


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{os.path.splitext(last)[0].lower()}"
