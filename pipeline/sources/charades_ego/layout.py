"""Where the lists and the videos of Charades-Ego are. Looks at names only; opens no file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.charades_ego.kinds import BOTH, FIRST, THIRD
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders

CLASSES = "Charades_v1_classes.txt"
_LIST_FOLDERS = (".", "CharadesEgo", "annotations")
_SUFFIXES = {BOTH: "", FIRST: "_only1st", THIRD: "_only3rd"}  # of the names of the lists
_VIDEO_FOLDERS = ("CharadesEgo_v1", "CharadesEgo_v1_480", ".", "videos", "CharadesEgo")  # the first one is preferred
_VIDEO_ID = re.compile(r"[A-Za-z0-9]+", re.ASCII)


@dataclass(frozen=True)
class VideoList:
    """A list of videos. view: whose it has; split: of all of them."""

    name: str
    view: str
    split: str


def lists_folder(root: Path) -> Path | None:
    """The folder, at or below a data folder, that has a list of any view; None if there is none."""
    names = [video_list.name for view in _SUFFIXES for video_list in _lists(view)]
    folders = (root / name for name in _LIST_FOLDERS)
    return next((folder for folder in folders if any((folder / name).is_file() for name in names)), None)


def checked_lists(root: Path, view: str) -> tuple[Path, Sequence[VideoList]]:
    """(folder, the lists that have the videos of this view).

    They are those of the view itself, or without them others that have its videos. InputError, with what to do, if a
    list or the file of the classes is missing.
    """
    folder = lists_folder(root)
    usual = _lists(view)
    others = [*_lists(FIRST), *_lists(THIRD)] if view == BOTH else _lists(BOTH)
    needed = usual
    if folder is not None and not any((folder / video_list.name).is_file() for video_list in usual):
        needed = others if all((folder / video_list.name).is_file() for video_list in others) else usual
    for name in (*(video_list.name for video_list in needed), CLASSES):
        if folder is None or not (folder / name).is_file():
            raise InputError(
                f"there is no {name} in {folder or root}: unpack CharadesEgo.zip of "
                f"https://prior.allenai.org/projects/charades-ego into {root}"
            )
    assert folder is not None
    return folder, needed


def _lists(view: str) -> list[VideoList]:
    """The test list is what results are reported on: validation."""
    splits = {"train": "train", "test": "val"}
    return [VideoList(f"CharadesEgo_v1_{name}{_SUFFIXES[view]}.csv", view, split) for name, split in splits.items()]


def name_of_video(folders: VideoFolders, video_id: str) -> str:
    """The path, from the data folder, of a video's file; where it is expected if it does not exist.

    ValueError if no video can have this id. InputError if a folder cannot be read.
    """
    if _VIDEO_ID.fullmatch(video_id) is None:
        raise ValueError("expected the id of a video, such as ABCDE or ABCDEEGO")
    return folders.find(video_id, _VIDEO_FOLDERS) or f"{_VIDEO_FOLDERS[0]}/{video_id}.mp4"
