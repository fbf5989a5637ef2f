"""Where the annotations of Ego-Exo4D are. Looks at names only; opens no file."""

from pathlib import Path

from embedonce.pipeline.errors import InputError

SPLIT_OF_FILE = {"keystep_train.json": "train", "keystep_val.json": "val"}
MAPPING = "label_mapping.csv"
TAKES = "takes.json"
_FOLDERS = ("annotations", ".")
_MAPPING_FOLDERS = ("keystep_benchmark", ".")  # relative to the folder of the annotations


def annotations_folder(root: Path) -> Path | None:
    """The folder, at or below a data folder, that has one of the files of keysteps; None if there is none."""
    folders = (root / name for name in _FOLDERS)
    return next((folder for folder in folders if any((folder / name).is_file() for name in SPLIT_OF_FILE)), None)


def checked_annotations_folder(root: Path) -> Path:
    """annotations_folder(). InputError, with what to do, if it or one of the files is missing."""
    folder = annotations_folder(root)
    missing = [name for name in SPLIT_OF_FILE if folder is None or not (folder / name).is_file()]
    if folder is None or missing:
        raise InputError(
            f"there is no {missing[0]} in {root / _FOLDERS[0] if folder is None else folder}: download the annotations "
            f"with egoexo -o {root} --parts annotations metadata"
        )
    return folder


def mapping_file(folder: Path) -> Path | None:
    """The list of the benchmark's keysteps; None if there is none. folder: of the annotations."""
    paths = (folder / name / MAPPING for name in _MAPPING_FOLDERS)
    return next((path for path in paths if path.is_file()), None)
