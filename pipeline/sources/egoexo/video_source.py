"""Ego-Exo4D as a video source: its keystep segments, in the videos of the camera on the head."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedonce.pipeline.sources.egoexo.class_names import benchmark_names, vocabulary
from embedonce.pipeline.sources.egoexo.kinds import KINDS, EgoExoKind
from embedonce.pipeline.sources.egoexo.layout import (
    MAPPING,
    SPLIT_OF_FILE,
    TAKES,
    annotations_folder,
    checked_annotations_folder,
    mapping_file,
)
from embedonce.pipeline.sources.egoexo.options import EgoExoOptions
from embedonce.pipeline.sources.egoexo.rows import EgoExoRows
from embedonce.pipeline.sources.egoexo.takes import TakeVideos, takes_by_name
from embedonce.pipeline.sources.epic.video_info import with_durations
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.source import OpenRequest, Source


class EgoExoSource:
    """The takes and keystep segments of Ego-Exo4D; one source per kind of label."""

    name = "egoexo"
    description = "an Ego-Exo4D download (with keystep_train.json)"
    options_type = EgoExoOptions
    own_options = ("egoexo_labels",)
    selects_classes = False

    def recognizes(self, root: Path | None, options: EgoExoOptions) -> bool:
        return root is not None and (options.egoexo_labels is not None or annotations_folder(root) is not None)

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        folder = checked_annotations_folder(request.folder)
        kinds = [KINDS[name] for name in request.options.names]
        return {kind.annotation: _source(request, folder, kind) for kind in kinds}


def _source(request: OpenRequest, folder: Path, kind: EgoExoKind) -> Source:
    problems = ProblemsOfTables(folder, [*SPLIT_OF_FILE, MAPPING, TAKES], units={".json": "take"})
    infos = takes_by_name(request.folder, problems)
    has_labels = request.needs_labels and kind.has_classes
    known = vocabulary((folder / name for name in SPLIT_OF_FILE), problems) if has_labels else {}
    mapping = mapping_file(folder) if has_labels and kind.is_benchmark else None
    names = known if mapping is None else benchmark_names(mapping, problems)
    problems.check()
    videos = TakeVideos(request.folder, infos)
    rows = EgoExoRows(folder, videos, problems, has_labels, names, known)
    source = source_of_rows(
        rows,
        request,
        problems,
        kind=EgoExoSource.name,
        classes=tuple(names.values()),
        uid_of=videos.take_of,
    )
    duration_of = {name: info.duration_sec for name, info in infos.items() if info.duration_sec is not None}
    notes = (*source.notes, *videos.notes(), *_notes(rows, kind, mapping))
    files = f"{' and '.join(SPLIT_OF_FILE)} list {source.files}"
    return with_durations(dataclasses.replace(source, files=files, notes=notes, named_by="annotations"), duration_of)


def _notes(rows: EgoExoRows, kind: EgoExoKind, mapping: Path | None) -> Iterator[str]:
    if rows.num_others:
        yield f"segments whose keystep is not in {MAPPING}, which are left out: {rows.num_others}"
    if kind.is_benchmark and mapping is None:
        yield f"there is no {MAPPING}: all keysteps are classes, not those of the benchmark alone"
