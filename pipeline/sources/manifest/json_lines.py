"""JSON lines as tables: one object per line, whose keys are the columns."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from embedonce.pipeline.sources.manifest.cell_text import text_of
from embedonce.pipeline.sources.manifest.line_problems import shown
from embedonce.pipeline.sources.manifest.table import BadRow, Cells, Table, TableError, lower_names
from embedonce.pipeline.sources.manifest.text_lines import text_lines


def json_lines_table(path: Path, wanted: Collection[str], bad_row: BadRow) -> Table:
    """The wanted columns of the table in a file of JSON objects.

    bad_row: gets lines that are no objects, and those with a value that is no text or number.
    """
    columns: dict[str, str] = {}
    return Table(_rows(path, wanted, columns, bad_row), columns=columns)


def _rows(path: Path, wanted: Collection[str], columns: dict[str, str], bad_row: BadRow) -> Iterator[tuple[int, Cells]]:
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        if not columns and line.lstrip()[0] == "[":
            raise TableError(number, "expected one JSON object per line, got a list: write each entry on its own line")
        try:
            cells = _cells(line, wanted, columns)
        except ValueError as error:
            bad_row(number, str(error))
            continue
        yield number, cells


def _cells(line: str, wanted: Collection[str], columns: dict[str, str]) -> Cells:
    """ValueError if the line is no object, or if a wanted value has no text."""
    try:
        pairs = json.loads(line, object_pairs_hook=_Pairs, parse_constant=str)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, _Pairs):
        raise ValueError(f"expected a JSON object, got {shown(line.strip())}")
    names = lower_names([name for name, _ in pairs])
    for name, (written, _) in zip(names, pairs, strict=True):
        columns.setdefault(name, written.strip())
    return {name: text_of(name, value) for name, (_, value) in zip(names, pairs, strict=True) if name in wanted}


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of an object, in order, repeated keys included."""
