"""Where the tables and the video files of HD-EPIC are. Looks at names only; opens no file."""

import re
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders

PICKLE, CONVERTED = "HD_EPIC_Narrations.pkl", "HD_EPIC_Narrations.csv"
ERRATUM = "HD_EPIC_Narrations_erratum.csv"
_REPOSITORY = "hd-epic-annotations"
_OF_NARRATIONS = "narrations-and-action-segments"
_TABLE_FOLDERS = (f"{_REPOSITORY}/{_OF_NARRATIONS}", _OF_NARRATIONS, _REPOSITORY, "annotations", ".")
_VIDEO_FOLDERS = (
    *("Videos/{person}", "{person}", "Videos", "."),
    *("videos/{person}", "videos", "HD-EPIC/Videos/{person}"),
)  # relative to the data folder; the first one is preferred
_VIDEO_ID = re.compile(r"(P\d+)-\d{8}-\d{6}", re.ASCII)
A_VIDEO = "the name of a video, such as P01-20240202-110250"


def tables_folder(root: Path) -> Path | None:
    """The folder, at or below a data folder, that has the narrations; None if there is none."""
    folders = (root / name for name in _TABLE_FOLDERS)
    return next((folder for folder in folders if any((folder / n).is_file() for n in (PICKLE, CONVERTED))), None)


def narrations_file(root: Path) -> Path:
    """The file of the narrations: converted by the user, or else as it is published. InputError if there is none."""
    folder = tables_folder(root)
    if folder is None:
        raise InputError(
            f"there is no {PICKLE} in {root}: clone https://github.com/hd-epic/{_REPOSITORY} into it, or put the files "
            f"of its folder {_OF_NARRATIONS} there"
        )
    return folder / (CONVERTED if (folder / CONVERTED).is_file() else PICKLE)


def checked_class_table(folder: Path, name: str) -> Path:
    """The table that names the classes. InputError if it is missing."""
    if not (folder / name).is_file():
        raise InputError(f"there is no {name} in {folder}: it is next to {PICKLE} in {_REPOSITORY}")
    return folder / name


def name_of_video(folders: VideoFolders, video_id: str) -> str:
    """The path, from the data folder, of a video's file; where it is expected if it does not exist.

    ValueError if no video can have this id. InputError if a folder cannot be read.
    """
    match = _VIDEO_ID.fullmatch(video_id)
    if match is None:
        raise ValueError(f"expected {A_VIDEO}")
    places = [place.format(person=match[1]) for place in _VIDEO_FOLDERS]
    return folders.find(video_id, places) or f"{places[0]}/{video_id}.mp4"
