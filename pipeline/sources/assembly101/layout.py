"""Where the tables and the videos of Assembly101 are."""

from pathlib import Path, PurePosixPath

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.sources.manifest.headers import columns_of
from embedonce.pipeline.sources.manifest.line_problems import expected
from embedonce.pipeline.sources.manifest.video_folders import first_existing

SPLIT_OF_TABLE = {"train.csv": "train", "validation.csv": "val", "test.csv": "test"}
CLASSES = "actions.csv"
VIDEO, START, END = "video", "start_frame", "end_frame"
_NEEDED = ("train.csv", "validation.csv", CLASSES)
_FINE = "fine-grained-annotations"
_TABLE_FOLDERS = (".", _FINE, "annotations", f"annotations/{_FINE}", f"assembly101-annotations/{_FINE}")
_VIDEO_FOLDERS = ("recordings", ".", "videos")  # the first one is preferred
_COLUMNS = frozenset((VIDEO, START, END, "action_id"))


def tables_folder(root: Path) -> Path | None:
    """The folder, at or below a data folder, whose train.csv is a table of Assembly101; None if there is none."""
    folders = (root / name for name in _TABLE_FOLDERS)
    return next((folder for folder in folders if columns_of(folder / "train.csv") >= _COLUMNS), None)


def checked_tables_folder(root: Path) -> Path:
    """tables_folder(). InputError, with what to do, if it or one of the tables is missing."""
    folder = tables_folder(root)
    missing = [name for name in _NEEDED if folder is None or not (folder / name).is_file()]
    if folder is None or missing:
        raise InputError(
            f"there is no {missing[0]} of Assembly101 in {root if folder is None else folder}: download its {_FINE} "
            "there"
        )
    return folder


def uid_of(name: str) -> str:
    """The uid of the video in a file: of its sequence and view, wherever the folders of the sequences are."""
    return path_uid("/".join(PurePosixPath(name).parts[-2:]))


class VideoFiles:
    """The video files below a data folder, each looked up once."""

    def __init__(self, root: Path):
        self._root = root
        self._name_of: dict[str, str] = {}

    def name_of(self, column: str, video: str) -> str:
        """The path, from the data folder, of a video's file; where it is expected if it does not exist.

        ValueError if the text is no sequence and view.
        """
        if video not in self._name_of:
            parts = PurePosixPath(video).parts
            if len(parts) != 2 or ".." in parts or parts[0] == "/":
                raise ValueError(expected(column, "a sequence and a view, such as nusar-2021_x/C10404_rgb.mp4", video))
            names = [(PurePosixPath(folder) / video).as_posix() for folder in _VIDEO_FOLDERS]
            self._name_of[video] = first_existing(self._root, names)
        return self._name_of[video]
