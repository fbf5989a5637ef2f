"""HD-EPIC as a video source: the clips of its narrations, any number of verbs and nouns each."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedonce.pipeline.sources.epic.class_names import names_in_table
from embedonce.pipeline.sources.hd_epic.kinds import KINDS, HdEpicKind
from embedonce.pipeline.sources.hd_epic.layout import ERRATUM, checked_class_table, narrations_file, tables_folder
from embedonce.pipeline.sources.hd_epic.narrations import Narrations
from embedonce.pipeline.sources.hd_epic.options import HdEpicOptions
from embedonce.pipeline.sources.hd_epic.rows import COLUMNS, HdEpicRows
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders, stem
from embedonce.pipeline.sources.source import OpenRequest, Source, with_several_labels


class HdEpicSource:
    """The videos and clips of HD-EPIC; one source per kind of label."""

    name = "hd_epic"
    description = "an HD-EPIC folder (with HD_EPIC_Narrations.pkl)"
    options_type = HdEpicOptions
    own_options = ("hd_epic_labels",)
    selects_classes = False

    def recognizes(self, root: Path | None, options: HdEpicOptions) -> bool:
        return root is not None and (options.hd_epic_labels is not None or tables_folder(root) is not None)

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        kinds = [KINDS[name] for name in request.options.names]
        class_columns = [kind.class_column for kind in kinds if kind.class_column]
        narrations = Narrations(narrations_file(request.folder), (*COLUMNS, *class_columns))
        return {kind.annotation: _source(request, narrations, kind) for kind in kinds}


def _source(request: OpenRequest, narrations: Narrations, kind: HdEpicKind) -> Source:
    path = narrations.path
    has_labels = request.needs_labels and bool(kind.class_table)
    problems = ProblemsOfTables(path.parent, [path.name, kind.class_table], units={".pkl": "row"})
    names = names_in_table(checked_class_table(path.parent, kind.class_table), problems) if has_labels else None
    problems.check()
    videos = VideoFolders(request.folder)
    rows = HdEpicRows(narrations, videos, problems, kind.class_column, names)
    source = source_of_rows(
        rows,
        request,
        problems,
        kind=HdEpicSource.name,
        classes=tuple((names or {}).values()),
        uid_of=stem,
    )
    return dataclasses.replace(
        source,
        clips=with_several_labels(source.clips) if has_labels else source.clips,
        files=f"{path.name} lists {source.files}",
        notes=(*source.notes, *videos.notes(), *_notes(path, kind, rows)),
        named_by="annotations",
    )


def _notes(path: Path, kind: HdEpicKind, rows: HdEpicRows) -> Iterator[str]:
    if rows.num_without:
        yield f"narrations with nothing in {kind.class_column}, which have no clip: {rows.num_without}"
    if (path.parent / ERRATUM).is_file():
        yield f"{ERRATUM} is not read: its corrections are not applied"
