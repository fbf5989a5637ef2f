"""Finds video files by the beginning of their names, in folders below a data folder. Opens no file."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from embedonce.cache.errors import some
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.folder.file_kinds import VIDEO, kind_of_name


def stem(name: str) -> str:
    """The name of a file without its folder and its suffix."""
    return PurePosixPath(name).stem


def first_existing(root: Path, names: Sequence[str]) -> str:
    """The first of these paths, from the data folder, at which there is a file; the first one if there is none."""
    return next((name for name in names if os.path.isfile(root / name)), names[0])


class VideoFolders:
    """The video files in folders; each folder is listed once.

    key: what is equal for the names of all files of one video. copies: file that is used -> all files of its video, of
    videos that have several.
    """

    def __init__(self, root: Path, key: Callable[[str], str] = stem):
        self._root, self._key = root, key
        self._in_folder: dict[str, dict[str, list[str]]] = {}
        self.copies: dict[str, list[str]] = {}

    def find(self, video: str, folders: Iterable[str]) -> str | None:
        """The path, from the data folder, of the first file of a video in these folders; .mp4 precedes other suffixes.

        None if there is none. InputError if a folder cannot be read.
        """
        names = [
            (PurePosixPath(folder) / name).as_posix()
            for folder in dict.fromkeys(folders)
            for name in self._videos_in(folder).get(video, ())
        ]
        if len(names) > 1:
            self.copies[names[0]] = names
        return names[0] if names else None

    def notes(self) -> list[str]:
        """A remark about videos that have several files, if there are any."""
        if not self.copies:
            return []
        names = (" and ".join(copies) for copies in self.copies.values())
        return [f"videos that have several files, of which the first is used: {len(self.copies)} ({some(names)})"]

    def _videos_in(self, folder: str) -> dict[str, list[str]]:
        """Key -> names of the files in a folder."""
        if folder not in self._in_folder:
            found = defaultdict(list)
            for name in sorted(_names(self._root / folder), key=lambda name: (not name.lower().endswith(".mp4"), name)):
                if kind_of_name(name) == VIDEO:
                    found[self._key(name)].append(name)
            self._in_folder[folder] = dict(found)
        return self._in_folder[folder]


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
