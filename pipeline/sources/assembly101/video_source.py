"""Assembly101 as a video source: the segments of its tables, in the videos of all views that were downloaded."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedonce.pipeline.sources.assembly101.class_names import class_names
from embedonce.pipeline.sources.assembly101.kinds import KINDS, AssemblyKind
from embedonce.pipeline.sources.assembly101.layout import (
    CLASSES,
    SPLIT_OF_TABLE,
    VideoFiles,
    checked_tables_folder,
    tables_folder,
    uid_of,
)
from embedonce.pipeline.sources.assembly101.options import AssemblyOptions
from embedonce.pipeline.sources.assembly101.rows import AssemblyRows
from embedonce.pipeline.sources.manifest.headers import columns_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.source import OpenRequest, Source


class AssemblySource:
    """The videos and clips of Assembly101; one source per kind of label."""

    name = "assembly101"
    description = "an Assembly101 folder (with its train.csv)"
    options_type = AssemblyOptions
    own_options = ("assembly101_labels",)
    selects_classes = False

    def recognizes(self, root: Path | None, options: AssemblyOptions) -> bool:
        return root is not None and (options.assembly101_labels is not None or tables_folder(root) is not None)

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        folder = checked_tables_folder(request.folder)
        kinds = [KINDS[name] for name in request.options.names]
        return {kind.annotation: _source(request, folder, kind) for kind in kinds}


def _source(request: OpenRequest, folder: Path, kind: AssemblyKind) -> Source:
    existing = [name for name in SPLIT_OF_TABLE if (folder / name).is_file()]
    tables = [name for name in existing if name != "test.csv" or kind.class_column in columns_of(folder / name)]
    problems = ProblemsOfTables(folder, [*tables, CLASSES])
    names = class_names(folder, kind, problems) if request.needs_labels else None
    problems.check()
    source = source_of_rows(
        AssemblyRows(folder, tables, VideoFiles(request.folder), kind, names, problems),
        request,
        problems,
        kind=AssemblySource.name,
        classes=tuple((names or {}).values()),
        uid_of=uid_of,
    )
    notes = (*source.notes, *_notes(source, set(existing) - set(tables)))
    files = f"{', '.join(tables)} list {source.files}"
    return dataclasses.replace(source, files=files, notes=notes, named_by="annotations")


def _notes(source: Source, left_out: set[str]) -> Iterator[str]:
    for name in left_out:
        yield f"{name} has no labels and is not read"
    windows = Counter((clip.video_uid, clip.start_sec, clip.end_sec) for clip in source.clips)
    num_shared = sum(count for count in windows.values() if count > 1)
    if num_shared:
        yield f"clips that last exactly as long as a clip of another class: {num_shared} of {len(source.clips)}"
