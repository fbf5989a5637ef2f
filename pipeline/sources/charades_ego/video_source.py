"""Charades-Ego as a video source: the actions of its lists, any number at a time, and the videos of either view."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedonce.pipeline.sources.charades_ego.class_names import class_names
from embedonce.pipeline.sources.charades_ego.kinds import KINDS, CharadesKind
from embedonce.pipeline.sources.charades_ego.layout import CLASSES, checked_lists, lists_folder
from embedonce.pipeline.sources.charades_ego.options import CharadesOptions
from embedonce.pipeline.sources.charades_ego.rows import CharadesRows
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders, stem
from embedonce.pipeline.sources.source import OpenRequest, Source, with_several_labels


class CharadesEgoSource:
    """The videos and clips of Charades-Ego, with all actions of each clip; one source per kind of clips."""

    name = "charades_ego"
    description = "a Charades-Ego folder (with CharadesEgo_v1_train.csv)"
    options_type = CharadesOptions
    own_options = ("charades_labels",)
    selects_classes = False

    def recognizes(self, root: Path | None, options: CharadesOptions) -> bool:
        return root is not None and (options.charades_labels is not None or lists_folder(root) is not None)

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        kinds = [KINDS[name] for name in request.options.names]
        return {kind.annotation: _source(request, kind) for kind in kinds}


def _source(request: OpenRequest, kind: CharadesKind) -> Source:
    folder, lists = checked_lists(request.folder, kind.view)
    names_of_lists = [video_list.name for video_list in lists]
    problems = ProblemsOfTables(folder, [*names_of_lists, CLASSES])
    names = class_names(folder, problems)
    problems.check()
    videos = VideoFolders(request.folder)
    rows = CharadesRows(folder, lists, kind, videos, names, problems)
    source = source_of_rows(
        rows if request.needs_labels else (dataclasses.replace(row, label="") for row in rows),
        request,
        problems,
        kind=CharadesEgoSource.name,
        classes=tuple(names.values()) if request.needs_labels else (),
        uid_of=stem,
    )
    return dataclasses.replace(
        source,
        clips=with_several_labels(source.clips) if request.needs_labels else source.clips,
        files=f"{' and '.join(names_of_lists)} list {source.files}",
        notes=(*source.notes, *videos.notes(), *_notes(rows)),
        named_by="annotations",
    )


def _notes(rows: CharadesRows) -> Iterator[str]:
    if rows.num_without:
        yield f"videos without any action, which have no clip: {rows.num_without}"
    if rows.num_empty:
        yield f"actions that end when they begin, which are left out: {rows.num_empty}"
