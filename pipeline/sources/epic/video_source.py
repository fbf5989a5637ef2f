"""EPIC-KITCHENS-100 as a video source: the clips of its tables, and the video files wherever they were downloaded."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedonce.pipeline.sources.epic.class_names import class_table, names_by_words, names_in_table
from embedonce.pipeline.sources.epic.kinds import KINDS, EpicKind
from embedonce.pipeline.sources.epic.layout import (
    INFO_TABLE,
    SPLIT_OF_TABLE,
    TEST_TABLE,
    VideoFinder,
    checked_tables_folder,
    tables_folder,
    uid_of,
)
from embedonce.pipeline.sources.epic.options import EpicOptions
from embedonce.pipeline.sources.epic.rows import EpicRows
from embedonce.pipeline.sources.epic.video_info import durations, with_durations
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.source import OpenRequest, Source


class EpicSource:
    """The videos and clips of EPIC-KITCHENS-100; one source per kind of label."""

    name = "epic"
    description = "an EPIC-KITCHENS-100 folder (with EPIC_100_train.csv)"
    options_type = EpicOptions
    own_options = ("epic_labels",)
    selects_classes = False

    def recognizes(self, root: Path | None, options: EpicOptions) -> bool:
        return root is not None and (options.epic_labels is not None or tables_folder(root) is not None)

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        folder = checked_tables_folder(request.folder)
        kinds = [KINDS[name] for name in request.options.names]
        return {kind.annotation: _source(request, folder, kind) for kind in kinds}


def _source(request: OpenRequest, folder: Path, kind: EpicKind) -> Source:
    names_file = class_table(folder, kind)
    problems = ProblemsOfTables(folder, [*SPLIT_OF_TABLE, INFO_TABLE, *([names_file.name] if names_file else [])])
    duration_of = durations(folder, problems)
    names: dict[int, str] | None = None
    if request.needs_labels and kind.class_column:
        names = names_in_table(names_file, problems) if names_file else names_by_words(folder, kind)
    problems.check()
    finder = VideoFinder(request.folder)
    source = source_of_rows(
        EpicRows(folder, finder, problems, kind.class_column, names),
        request,
        problems,
        kind=EpicSource.name,
        classes=tuple((names or {}).values()),
        uid_of=uid_of,
    )
    notes = (*source.notes, *_notes(folder, finder, kind, names_file))
    files = f"{' and '.join(SPLIT_OF_TABLE)} list {source.files}"
    return with_durations(dataclasses.replace(source, files=files, notes=notes, named_by="annotations"), duration_of)


def _notes(folder: Path, finder: VideoFinder, kind: EpicKind, names_file: Path | None) -> Iterator[str]:
    yield from finder.folders.notes()
    if (folder / TEST_TABLE).is_file():
        yield f"{TEST_TABLE} has no labels and is not read"
    if kind.class_tables and names_file is None:
        yield f"there is no {kind.class_tables[0]}: classes are named by their most frequent word in the narrations"
