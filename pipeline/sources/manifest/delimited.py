"""CSV and TSV files as tables. The delimiter is the one that the header line is written with."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.sources.manifest.table import BadRow, Cells, Table, TableError, lower_names
from embedonce.pipeline.sources.manifest.text_lines import text_lines

DELIMITERS = ",;\t"
_EXCEL = "sep="  # followed by the delimiter: a line before the header that tells Excel how to read the rest


def delimited_table(path: Path, bad_row: BadRow) -> Table:
    """The table in a file whose first line with text names the columns.

    TableError if there is none, or if it names a column twice. bad_row: gets rows with another number of cells, and
    header lines that are there again.
    """
    lines = text_lines(path)
    before, header = _header(lines)
    reader = csv.reader(itertools.chain([header], lines), delimiter=delimiter_of(header), strict=True)
    records = _records(reader, before)
    line, written = next(records)
    names = lower_names(written, line)
    columns = dict(zip(names, (name.strip() for name in written), strict=True))
    return Table(_rows(records, names, bad_row), columns=columns, first_line=line)


def delimiter_of(header: str) -> str:
    """The delimiter that divides a header line into most columns; a comma if there is one column."""
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), ())))


def _header(lines: Iterator[str]) -> tuple[int, str]:
    """(number of lines before it, the first line with text, apart from one for Excel)."""
    for number, line in enumerate(lines):
        if "\0" in line:
            raise TableError(number + 1, "expected text, got a NUL byte: save the table as UTF-8")
        is_for_excel = number == 0 and line.startswith(_EXCEL) and len(line.rstrip("\r\n")) == len(_EXCEL) + 1
        if line.strip() and not is_for_excel:
            return number, line
    raise TableError(1, "expected a line with the names of the columns, got an empty file")


def _records(reader, before: int) -> Iterator[tuple[int, list[str]]]:
    """(line that it begins on, cells) of each record that is not an empty line."""
    while True:
        first = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(first, f"{error}: is a quotation mark missing, or one too many?") from error
        if any(cell.strip() for cell in cells):
            yield first, cells


def _rows(records: Iterator[tuple[int, list[str]]], names: list[str], bad_row: BadRow) -> Iterator[tuple[int, Cells]]:
    for line, cells in records:
        if [cell.strip().casefold() for cell in cells] == names:
            bad_row(line, "expected a row, got the header line again: remove it")
        elif len(cells) == len(names):
            yield line, dict(zip(names, cells, strict=True))
        else:
            hint = ": quote text that contains the delimiter" if len(cells) > len(names) else ""
            bad_row(line, f"expected {len(names)} cells, as in the header line, got {len(cells)}{hint}")
