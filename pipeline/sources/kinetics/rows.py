"""The rows of the tables of Kinetics as clips: whole files, because each file is cut at the times of its row."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedonce.pipeline.sources.kinetics.layout import END, LABEL, SPLIT, START, YOUTUBE_ID, ClipFiles, file_stem
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import class_of, seconds_of, split_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.table import Cells
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table

_YOUTUBE_ID = re.compile(r"[\w-]+", re.ASCII)


class KineticsRows:
    """The clips of the tables of all splits."""

    def __init__(self, tables: Mapping[str, Path], files: ClipFiles, problems: ProblemsOfTables):
        self._tables, self._files, self._problems = tables, files, problems

    def __iter__(self) -> Iterator[ManifestRow]:
        for split, path in self._tables.items():
            for line, cells in rows_of_table(path, (LABEL, YOUTUBE_ID, START, END), self._problems):
                row = self._row(line, cells, split)
                if row is not None:
                    yield row

    def _row(self, line: int, cells: Cells, split: str) -> ManifestRow | None:
        """None, after all that is wrong was reported, if a cell cannot be understood."""
        reader = CellReader(line, cells, self._problems)
        label = reader.needed(LABEL, _label, "")
        youtube_id = reader.needed(YOUTUBE_ID, _id, "")
        start, end = reader.needed(START, _whole_seconds, 0), reader.needed(END, _whole_seconds, 1)
        if reader.value(SPLIT, split_of, split) != split:
            self._problems.add(line, expected(SPLIT, f"{split}, as the name of the table says", cells[SPLIT].strip()))
        if not start < end:
            self._problems.add(line, expected(END, f"a time after {start}", cells[END].strip()))
        if reader.has_problems:
            return None
        clip = file_stem(youtube_id, start, end)
        return ManifestRow(line, self._files.name_of(clip, split, label), label=label, split=split, uid=clip)


def _label(column: str, text: str) -> str:
    if not text:
        raise ValueError(expected(column, "the name of a class", text))
    return class_of(column, text)


def _id(column: str, text: str) -> str:
    if not _YOUTUBE_ID.fullmatch(text):
        raise ValueError(expected(column, "the id of a YouTube video", text))
    return text


def _whole_seconds(column: str, text: str) -> int:
    seconds = seconds_of(column, text)
    if not seconds.is_integer():
        raise ValueError(expected(column, "whole seconds, which are part of the names of files", text))
    return int(seconds)
