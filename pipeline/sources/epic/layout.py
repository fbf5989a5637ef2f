"""Finds the tables and the video files of EPIC-KITCHENS-100. Looks at names only; opens no file."""

import re
from pathlib import Path, PurePosixPath

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders

SPLIT_OF_TABLE = {"EPIC_100_train.csv": "train", "EPIC_100_validation.csv": "val"}
TEST_TABLE = "EPIC_100_test_timestamps.csv"
INFO_TABLE = "EPIC_100_video_info.csv"
_REPOSITORY = "epic-kitchens-100-annotations"
_TABLE_FOLDERS = (".", _REPOSITORY, "annotations")
_PLACES = (
    *("{person}", ".", "videos", "videos/{person}", "{person}/videos"),
    *("EPIC-KITCHENS/{person}/videos", "EPIC-KITCHENS/{person}", "EPIC-KITCHENS/videos/{person}"),
)  # of videos, relative to the data folder; the first one is preferred
_VIDEO_ID = re.compile(r"(P\d+)_\d+", re.ASCII)


def tables_folder(root: Path) -> Path | None:
    """The folder, at or below a data folder, that has one of the tables of clips; None if there is none."""
    folders = (root / name for name in _TABLE_FOLDERS)
    return next((folder for folder in folders if any((folder / name).is_file() for name in SPLIT_OF_TABLE)), None)


def checked_tables_folder(root: Path) -> Path:
    """tables_folder(). InputError, with what to do, if it or one of the tables is missing."""
    folder = tables_folder(root)
    missing = [name for name in SPLIT_OF_TABLE if folder is None or not (folder / name).is_file()]
    if folder is None or missing:
        raise InputError(
            f"there is no {missing[0]} in {root if folder is None else folder}: put the tables of "
            f"https://github.com/epic-kitchens/{_REPOSITORY} there, or clone it into {root}"
        )
    return folder


def uid_of(name: str) -> str:
    """The uid of the video in a file, wherever the file is: `videos/p01_01.mp4` shows P01_01."""
    return PurePosixPath(name).stem.upper()


class VideoFinder:
    """The names of video files below a data folder."""

    def __init__(self, root: Path):
        self.folders = VideoFolders(root, uid_of)
        self._name_of: dict[str, str] = {}

    def name_of(self, video_id: str) -> str:
        """The path, from the data folder, of a video's file; where it is expected if it does not exist.

        ValueError if no video can have this id. InputError if a folder cannot be read.
        """
        if video_id not in self._name_of:
            match = _VIDEO_ID.fullmatch(video_id)
            if match is None:
                raise ValueError("expected the name of a video, such as P01_01")
            places = (place.format(person=match[1]) for place in _PLACES)
            self._name_of[video_id] = self.folders.find(video_id, places) or f"{match[1]}/{video_id}.MP4"
        return self._name_of[video_id]
