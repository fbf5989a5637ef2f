"""UCF101 as a video source: the videos of its official lists, in the folders of their classes."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.source import OpenRequest, Source
from embedonce.pipeline.sources.ucf101.lists import (
    CLASSES,
    UcfRows,
    class_numbers,
    lists_folder,
    split_of_list,
    uid_of,
)
from embedonce.pipeline.sources.ucf101.options import UcfOptions


class UcfSource:
    """The videos of UCF101, split by one of its three pairs of lists."""

    name = "ucf101"
    description = "a UCF101 folder (with trainlist01.txt)"
    options_type = UcfOptions
    own_options = ("ucf_split",)
    selects_classes = False

    def recognizes(self, root: Path | None, options: UcfOptions) -> bool:
        return root is not None and any(lists_folder(root, number) for number in (1, options.ucf_split))

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        root, lists = request.folder, split_of_list(request.options.ucf_split)
        folder = lists_folder(root, request.options.ucf_split)
        if folder is None:
            raise InputError(f"{root} has no {' and '.join(lists)}: --ucf-split is 1, 2 or 3")
        problems = ProblemsOfTables(folder, [*lists, CLASSES])
        numbers = class_numbers(folder, problems)
        rows = UcfRows(root, folder, lists, numbers, problems, request.options.frames_rate is not None)
        labeled = rows if request.needs_labels else (dataclasses.replace(row, label="") for row in rows)
        source = source_of_rows(
            labeled,
            request,
            problems,
            kind=self.name,
            classes=tuple(numbers) if request.needs_labels else (),
            uid_of=uid_of,
            one_clip_per_video=True,
            frames=request.options,
        )
        return {"": dataclasses.replace(source, files=f"{' and '.join(lists)} list {source.files}")}
