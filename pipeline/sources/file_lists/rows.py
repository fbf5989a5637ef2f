"""The lines of lists of files as clips: one per video."""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.sources.file_lists.lines import parse_entry
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected, shown
from embedonce.pipeline.sources.manifest.list_lines import lines_of_list
from embedonce.pipeline.sources.manifest.row import ManifestRow


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """A line of a list. name: of the video, as it is written. number: of its class."""

    line: int
    name: str
    number: int
    split: str


def listed_videos(lists: Mapping[str, Path], problems: ProblemsOfTables) -> Iterator[ListedVideo]:
    """The videos of the lists of all splits. Lines that cannot be understood become problems."""
    for split, path in lists.items():
        for line, text in lines_of_list(path, problems):
            try:
                yield ListedVideo(line, *parse_entry(text), split)
            except ValueError as error:
                problems.add(line, str(error))


def rows(
    videos: list[ListedVideo],
    place_of: Callable[[ListedVideo], str],
    names: Mapping[int, str] | None,
    problems: ProblemsOfTables,
) -> Iterator[ManifestRow]:
    """The videos as clips.

    place_of: -> the path of a video from the data folder. names: of the classes, by number; None without labels.
    Numbers without a name, and videos in two classes, become problems.
    """
    first: dict[str, ListedVideo] = {}
    for video in videos:
        place = place_of(video)
        before = first.setdefault(posixpath.normpath(place), video)
        if before.number != video.number:
            there = f"of class {before.number} on {problems.place(before.line)}"
            problems.add(video.line, f"class: {shown(video.name)} is of class {video.number} here and {there}")
        elif names is not None and video.number not in names:
            problems.add(video.line, expected("class", f"the number of one of {len(names)} classes", str(video.number)))
        else:
            label = "" if names is None else names[video.number]
            yield ManifestRow(video.line, place, label=label, split=video.split)
