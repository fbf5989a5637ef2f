"""The rows of a manifest, read from its table: what each cell means, and which cells are wrong."""

import math
from collections.abc import Iterator
from pathlib import Path

from embedonce.cache.errors import some
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import label_of, name_of, narration_of, seconds_of, split_of
from embedonce.pipeline.sources.manifest.columns import COLUMNS, END, LABEL, LIKE_VIDEO, SPLIT, START, TEXT, UID, VIDEO
from embedonce.pipeline.sources.manifest.formats import open_table
from embedonce.pipeline.sources.manifest.line_problems import LineProblems, expected
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.table import Cells, Table, TableError


class ManifestRows:
    """The rows of the manifest in a file, and what is wrong with it. needs_labels: False to leave the labels out.

    After all rows have been read: `notes`, such as about columns that are not used.
    """

    def __init__(self, path: Path, needs_labels: bool = True):
        self.problems = LineProblems(path)
        self._path, self._needs_labels = path, needs_labels
        self._columns: dict[str, str] = {}

    def __iter__(self) -> Iterator[ManifestRow]:
        """InputError if the file cannot be opened. Whatever else is wrong becomes a problem."""
        try:
            table = open_table(self._path, COLUMNS, self.problems.add)
            self._columns, self.problems.unit = table.columns, table.unit
            yield from self._rows(table)
        except TableError as error:
            self.problems.add(error.line, str(error))

    @property
    def notes(self) -> tuple[str, ...]:
        others = [written or "one without a name" for name, written in self._columns.items() if name not in COLUMNS]
        return (f"columns of {self._path.name} that are not used: {some(others, 10)}",) if others else ()

    def _rows(self, table: Table) -> Iterator[ManifestRow]:
        num_rows = 0
        if table.columns:
            check_columns(table)
        for line, cells in table.rows:
            if not num_rows:  # of JSON lines, the columns are known by now
                check_columns(table)
            num_rows += 1
            row = row_of(line, cells, self.problems, self._needs_labels)
            if row is not None:
                yield row
        if not num_rows and not self.problems.count:
            check_columns(table)
            raise TableError(table.first_line + 1, "expected rows of clips, got none")


def check_columns(table: Table) -> None:
    """TableError if there is no column `video`."""
    columns = table.columns
    if VIDEO in columns:
        return
    similar = next((columns[name] for name in LIKE_VIDEO if name in columns), None)
    remedy = f"rename {similar!r}" if similar else f"the columns of a manifest are {', '.join(COLUMNS)}"
    given = some(map(repr, columns.values()), 8) or "nothing"
    raise TableError(table.first_line, f"expected a column named video, got {given}: {remedy}")


def row_of(line: int, cells: Cells, problems: LineProblems, needs_labels: bool = True) -> ManifestRow | None:
    """The row with these cells; None, after all that is wrong was reported, if a cell cannot be understood."""
    value = (reader := CellReader(line, cells, problems)).value
    row = ManifestRow(
        line,
        cells.get(VIDEO, "").strip(),
        value(START, seconds_of, -math.inf),
        value(END, seconds_of, math.inf),
        value(LABEL, label_of, "") if needs_labels else "",
        value(SPLIT, split_of, ""),
        value(TEXT, narration_of, ""),
        value(UID, name_of, ""),
    )
    if not row.video:
        problems.add(line, expected(VIDEO, "a path or a URL", ""))
    return None if reader.has_problems else row
