"""Reads a table of a data set, whose columns are known, row by row."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from embedonce.pipeline.sources.manifest.formats import open_table
from embedonce.pipeline.sources.manifest.line_problems import LineProblems, ProblemsOfTables
from embedonce.pipeline.sources.manifest.table import Cells, Table, TableError


def rows_of_table(path: Path, columns: Sequence[str], problems: LineProblems) -> Iterator[tuple[int, Cells]]:
    """(line, as problems name it; cells) of each row. Whatever is wrong with the file becomes a problem.

    columns: those that the table must have. InputError if the file cannot be opened.
    """

    def line_of(line: int) -> int:
        return problems.line_of(path.name, line) if isinstance(problems, ProblemsOfTables) else line

    def bad_row(line: int, message: str) -> None:
        problems.add(line_of(line), message)

    try:
        table = open_table(path, columns, bad_row)
        _check_columns(table, columns)
        for line, cells in table.rows:
            yield line_of(line), cells
    except TableError as error:
        bad_row(error.line, str(error))


def _check_columns(table: Table, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        given = ", ".join(table.columns.values())
        raise TableError(table.first_line, f"expected a column {missing[0]}, got {given}")
