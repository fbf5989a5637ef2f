"""The rows of the tables of Assembly101 as clips: which video, from when to when, and its action, verb or noun.

The tables count frames at 30 per second, whatever the rate of a video is.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from embedonce.pipeline.sources.assembly101.kinds import AssemblyKind
from embedonce.pipeline.sources.assembly101.layout import END, SPLIT_OF_TABLE, START, VIDEO, VideoFiles
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import id_of, is_count
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected, shown
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.table import Cells
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table

FPS = 30  # of the frame numbers


class AssemblyRows:
    """The clips of some tables in a folder. names: of the classes, by number; None if the clips get no labels."""

    def __init__(
        self,
        folder: Path,
        tables: Sequence[str],
        files: VideoFiles,
        kind: AssemblyKind,
        names: Mapping[int, str] | None,
        problems: ProblemsOfTables,
    ):
        self._folder, self._tables, self._files = folder, tables, files
        self._kind, self._names, self._problems = kind, names, problems
        self._split_of_sequence: dict[str, tuple[str, int]] = {}  # and the line that says it
        self._in_two_splits: set[str] = set()  # sequences

    def __iter__(self) -> Iterator[ManifestRow]:
        columns = (VIDEO, START, END, *(() if self._names is None else (self._kind.class_column,)))
        for table in self._tables:
            for line, cells in rows_of_table(self._folder / table, columns, self._problems):
                row = self._row(line, cells, SPLIT_OF_TABLE[table])
                if row is not None:
                    self._check_split(row)
                    yield row

    def _row(self, line: int, cells: Cells, split: str) -> ManifestRow | None:
        """None, after all that is wrong was reported, if a cell cannot be understood."""
        reader = CellReader(line, cells, self._problems)
        row = ManifestRow(
            line,
            reader.needed(VIDEO, self._files.name_of, ""),
            reader.needed(START, _seconds, 0.0),
            reader.needed(END, _seconds, 0.0),
            "" if self._names is None else reader.needed(self._kind.class_column, self._label, ""),
            split,
        )
        name = cells.get(self._kind.name_column, "").strip()
        if row.label and name and name != row.label:
            number = cells[self._kind.class_column].strip()
            self._problems.add(line, expected(self._kind.name_column, f"{row.label!r}, the name of {number}", name))
        return None if reader.has_problems else row

    def _label(self, column: str, text: str) -> str:
        assert self._names is not None
        number = id_of(column, text)
        if number not in self._names:
            raise ValueError(expected(column, f"the number of one of {len(self._names)} classes", text))
        return self._names[number]

    def _check_split(self, row: ManifestRow) -> None:
        """The views of a sequence show the same, so that they must be in one split."""
        sequence = PurePosixPath(row.video).parts[-2]
        split, line = self._split_of_sequence.setdefault(sequence, (row.split, row.line))
        if split != row.split and sequence not in self._in_two_splits:
            self._in_two_splits.add(sequence)
            there = f"in {split!r} on {self._problems.place(line)}"
            self._problems.add(row.line, f"split: the sequence {shown(sequence)} is in {row.split!r} here and {there}")


def _seconds(column: str, text: str) -> float:
    if not is_count(text):
        raise ValueError(expected(column, "the number of a frame", text))
    return int(text) / FPS
