"""The takes of Ego-Exo4D: their folders and durations, by takes.json, and the files of the camera on the head."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from embedonce.cache.schema import UID_PATTERN
from embedonce.pipeline.sources.egoexo.json_files import entries_of, seconds_in, text_in, wrong
from embedonce.pipeline.sources.egoexo.layout import TAKES
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders, stem

_RGB = re.compile(r"aria\d+_214-1")  # the color camera of the glasses, among their cameras
_FOLDERS = ("frame_aligned_videos", "frame_aligned_videos/downscaled/448")  # of a take; the first one is preferred
_EGO = "ego"  # what is equal for the names of all files of this camera


@dataclass(frozen=True)
class TakeInfo:
    """folder: of the take, below the data folder. duration_sec: None if it is not known."""

    folder: str
    duration_sec: float | None = None


def takes_by_name(root: Path, problems: ProblemsOfTables) -> dict[str, TakeInfo]:
    """Name -> what takes.json says of each take; {} without the file. Whatever is wrong with it becomes a problem."""
    infos: dict[str, TakeInfo] = {}
    if not (root / TAKES).is_file():
        return infos
    for line, take in entries_of(root / TAKES, problems):
        try:
            name, info = _named_info(take)
        except ValueError as error:
            problems.add(line, str(error))
            continue
        if infos.setdefault(name, info) != info:
            problems.add(line, f"take_name: {name!r} is another take, too")
    return infos


def _named_info(take: object) -> tuple[str, TakeInfo]:
    if not isinstance(take, dict):
        raise ValueError(wrong("take", "an object", take))
    folder = PurePosixPath(text_in(take, "root_dir"))
    if folder.is_absolute() or ".." in folder.parts:
        raise ValueError(wrong("root_dir", "a folder below the data folder", str(folder)))
    duration = seconds_in(take, "duration_sec") if take.get("duration_sec") is not None else None
    return text_in(take, "take_name"), TakeInfo(folder.as_posix(), duration)


class TakeVideos:
    """Finds the video of each take. infos: of the takes of takes.json; others are expected in takes/NAME."""

    def __init__(self, root: Path, infos: Mapping[str, TakeInfo]):
        self._infos = infos
        self._videos = VideoFolders(root, lambda name: _EGO if _RGB.fullmatch(stem(name)) else stem(name))
        self._take_of: dict[str, str] = {}
        self._name_of: dict[str, str] = {}

    def name_of(self, take: str) -> str:
        """The path, from the data folder, of a take's video; where it is expected if it does not exist.

        ValueError if no take can have this name, if it has several cameras on heads, or the video of another take.
        """
        if take not in self._name_of:
            name = self._found(take)
            other = self._take_of.setdefault(name, take)
            if other != take:
                raise ValueError(f"{take} has the same video as {other}, {name}")
            self._name_of[take] = name
        return self._name_of[take]

    def take_of(self, name: str) -> str:
        """The take whose video has this path."""
        return self._take_of[name]

    def notes(self) -> list[str]:
        return self._videos.notes()

    def _found(self, take: str) -> str:
        if UID_PATTERN.fullmatch(take) is None:
            raise ValueError(wrong("take_name", "a name of letters, digits, - and _", take))
        info = self._infos.get(take, TakeInfo(f"takes/{take}"))
        name = self._videos.find(_EGO, [f"{info.folder}/{folder}" for folder in _FOLDERS])
        if name is None:
            return (PurePosixPath(info.folder) / _FOLDERS[0] / "aria01_214-1.mp4").as_posix()
        cameras = sorted({stem(copy) for copy in self._videos.copies.get(name, ())})
        if len(cameras) > 1:
            raise ValueError(
                f"{take} has videos of several cameras on heads, {' and '.join(cameras)}: keep one of them"
            )
        return name
