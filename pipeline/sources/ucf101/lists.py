"""The lists of UCF101: its videos (`Class/video.avi`, of trainlist01.txt with the number of the class), and classes."""

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.sources.manifest.cell_values import class_of, is_count
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected, shown
from embedonce.pipeline.sources.manifest.list_lines import lines_of_list
from embedonce.pipeline.sources.manifest.row import ManifestRow

CLASSES = "classInd.txt"
_LIST_FOLDERS = (".", "ucfTrainTestlist")
_VIDEO_FOLDERS = ("UCF-101", ".", "UCF101", "videos")  # the first one is preferred


def split_of_list(number: int) -> dict[str, str]:
    """Name of each list -> the split of its videos. The test lists are what results are reported on: validation."""
    return {f"trainlist{number:02}.txt": "train", f"testlist{number:02}.txt": "val"}


def lists_folder(root: Path, number: int) -> Path | None:
    """The folder, at or below a data folder, that has the lists; None if there is none."""
    folders = (root / name for name in _LIST_FOLDERS)
    return next(
        (folder for folder in folders if all((folder / name).is_file() for name in split_of_list(number))), None
    )


def uid_of(name: str) -> str:
    """The uid of the video in a file: of its class and name, wherever the folders of the classes are."""
    return path_uid("/".join(PurePosixPath(name).parts[-2:]))


def class_numbers(folder: Path, problems: ProblemsOfTables) -> dict[str, int]:
    """Name -> number of each class, in the order of the file; {} without one. What is wrong becomes a problem."""
    numbers: dict[str, int] = {}
    if not (folder / CLASSES).is_file():
        return numbers
    for line, text in lines_of_list(folder / CLASSES, problems):
        number, _, name = text.partition(" ")
        if not (is_count(number) and name.strip()):
            problems.add(line, expected("class", "a number and a name, such as 1 ApplyEyeMakeup", text))
        elif name.strip() in numbers or int(number) in numbers.values():
            problems.add(line, f"class: {shown(text)} repeats a number or a name")
        else:
            numbers[name.strip()] = int(number)
    return numbers


class UcfRows:
    """The videos of both lists, each as one clip. numbers: those of the classes, by name; {} if they are not known.

    are_frames: a video may also be a folder of frames of its name, without the suffix.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        lists: Mapping[str, str],
        numbers: Mapping[str, int],
        problems: ProblemsOfTables,
        are_frames: bool = False,
    ):
        self._root, self._folder, self._lists = root, folder, lists
        self._numbers, self._problems, self._are_frames = numbers, problems, are_frames

    def __iter__(self) -> Iterator[ManifestRow]:
        for name, split in self._lists.items():
            for line, text in lines_of_list(self._folder / name, self._problems):
                try:
                    video, label = self._video_and_label(text)
                except ValueError as error:
                    self._problems.add(line, str(error))
                    continue
                yield ManifestRow(line, self._file(video), label=label, split=split)

    def _video_and_label(self, text: str) -> tuple[str, str]:
        video, _, number = text.partition(" ")
        parts = PurePosixPath(video).parts
        if len(parts) != 2 or ".." in parts or parts[0] == "/":
            raise ValueError(expected("video", "the folder of a class and a file, such as Archery/v_1.avi", video))
        label = class_of("class", parts[0])
        if self._numbers and label not in self._numbers:
            raise ValueError(expected("class", f"one of the {len(self._numbers)} of {CLASSES}", label))
        if self._numbers and number.strip() and number.strip() != str(self._numbers[label]):
            raise ValueError(expected("class", f"{self._numbers[label]}, the number of {label}", number.strip()))
        return video, label

    def _file(self, video: str) -> str:
        names = [(PurePosixPath(folder) / video).as_posix() for folder in _VIDEO_FOLDERS]
        files = (name for name in names if os.path.isfile(self._root / name))
        folders = (stem for name in names if self._are_frames and os.path.isdir(self._root / (stem := _stem(name))))
        return next(itertools.chain(files, folders), names[0])


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
