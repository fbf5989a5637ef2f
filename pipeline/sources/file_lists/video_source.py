"""Lists of files as a video source: train.txt and val.txt, as many programs for training on videos read them."""

import dataclasses
import filecmp
from collections.abc import Mapping
from pathlib import Path

from embedonce.pipeline.sources.file_lists.layout import checked_lists, classes_file, find_lists, place_of
from embedonce.pipeline.sources.file_lists.options import FileListOptions
from embedonce.pipeline.sources.file_lists.rows import ListedVideo, listed_videos, rows
from embedonce.pipeline.sources.folder.class_files import read_numbered_classes
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.source import OpenRequest, Source


class FileListSource:
    """The videos of lists, with a number of a class each."""

    name = "file_lists"
    description = "a folder with lists of files (train.txt)"
    options_type = FileListOptions
    own_options = ()
    selects_classes = False

    def recognizes(self, root: Path | None, options: FileListOptions) -> bool:
        return root is not None and find_lists(root) is not None

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        folder, lists = checked_lists(request.folder)
        remarks = _drop_repeated_test(lists)
        problems = ProblemsOfTables(folder, [path.name for path in lists.values()])
        videos = list(listed_videos(lists, problems))
        names = _class_names(folder, videos) if request.needs_labels else None
        cached = frozenset(request.cached_uids)
        source = source_of_rows(
            rows(videos, lambda video: place_of(request.folder, video.name, video.split, cached), names, problems),
            request,
            problems,
            kind=self.name,
            classes=tuple((names or {}).values()),
            one_clip_per_video=True,
        )
        files = f"{', '.join(path.name for path in lists.values())} list {source.files}"
        return {"": dataclasses.replace(source, files=files, notes=(*source.notes, *remarks))}


def _drop_repeated_test(lists: dict[str, Path]) -> list[str]:
    """Leave out a list of test videos that is that of validation under another name, and say so."""
    if not ("test" in lists and "val" in lists and filecmp.cmp(lists["test"], lists["val"], shallow=False)):
        return []
    return [f"{lists.pop('test').name} is the same as {lists['val'].name} and is not read"]


def _class_names(folder: Path, videos: list[ListedVideo]) -> dict[int, str]:
    """Number -> name of each class, in the order of the numbers: those of a file, or else the numbers themselves."""
    path = classes_file(folder)
    if path is not None:
        return read_numbered_classes(path)
    return {number: str(number) for number in sorted({video.number for video in videos})}
