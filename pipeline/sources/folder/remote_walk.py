"""Sorts the files below a URL by kind, as walk.py does for a local folder. Object stores have no folders and no links:
folders are what the names of files contain.
"""

import itertools
from pathlib import PurePosixPath

from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.sources.folder import file_kinds
from embedonce.pipeline.sources.folder.file_kinds import VIDEO
from embedonce.pipeline.sources.folder.walk import FolderTree, sort_files


def walk_remote(root: RemoteFolder) -> FolderTree:
    """Visit every file below root. InputError and StorageError as in RemoteFolder.names()."""
    tree = FolderTree(root)
    folders: set[str] = set()
    skipped: set[str] = set()
    names = []
    for name in root.names():
        if not _is_usable(name):
            tree.unusable.append((name, "its name cannot be that of a file in a folder"))
            continue
        parents = [parent.as_posix() for parent in PurePosixPath(name).parents][-2::-1]  # the topmost first
        entered = list(itertools.takewhile(lambda parent: not file_kinds.is_metadata_folder(_last(parent)), parents))
        folders.update(entered)
        skipped.update(parents[len(entered) :][:1])
        names += [name] if entered == parents else []
    tree.folders, tree.skipped_folders = sorted(folders), sorted(skipped)
    needed = [name for name in names if file_kinds.kind_of_name(_last(name)) in (None, VIDEO)]
    failures = root.describe(needed)
    tree.unusable += failures.items()
    sort_files(tree, [(name, False) for name in names if name not in failures])
    return tree


def _is_usable(name: str) -> bool:
    """Whether a file of a local folder could have this name; whoever may write to a bucket chooses it."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and "\0" not in name


def _last(name: str) -> str:
    return name.rpartition("/")[2]
