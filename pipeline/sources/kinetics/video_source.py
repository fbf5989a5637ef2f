"""Kinetics-400, -600 and -700 as a video source: the clips of their tables that were downloaded."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from embedonce.pipeline.sources.kinetics.layout import LABEL, ClipFiles, checked_tables, find_tables, uid_of
from embedonce.pipeline.sources.kinetics.options import KineticsOptions
from embedonce.pipeline.sources.kinetics.rows import KineticsRows
from embedonce.pipeline.sources.manifest.headers import columns_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.source import OpenRequest, Source


class KineticsSource:
    """The cut clips of Kinetics, by the published tables; many of their videos exist no more."""

    name = "kinetics"
    description = "a Kinetics folder (with train.csv)"
    options_type = KineticsOptions
    own_options = ()
    selects_classes = False

    def recognizes(self, root: Path | None, options: KineticsOptions) -> bool:
        return root is not None and find_tables(root) is not None

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        folder, found = checked_tables(request.folder)
        tables = {split: path for split, path in found.items() if split != "test" or LABEL in columns_of(path)}
        problems = ProblemsOfTables(folder, [path.name for path in tables.values()])
        files = ClipFiles(request.folder)
        rows = KineticsRows(tables, files, problems)
        source = source_of_rows(
            rows if request.needs_labels else (dataclasses.replace(row, label="") for row in rows),
            request,
            problems,
            kind=self.name,
            uid_of=uid_of,
            one_clip_per_video=True,
        )
        unlabeled = [path.name for split, path in found.items() if split not in tables]
        remarks = [f"{name} has no labels and is not read" for name in unlabeled]
        listed = f"{', '.join(path.name for path in tables.values())} list {source.files}"
        notes = (*source.notes, *files.notes(), *remarks)
        return {"": dataclasses.replace(source, files=listed, notes=notes, named_by="annotations")}
