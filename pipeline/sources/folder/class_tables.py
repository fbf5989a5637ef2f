"""Reads class names from plain text: lines, numbered lines, and tables with a column of names."""

import csv
import io
import re
from dataclasses import dataclass

from embedonce.pipeline.naming.class_names import is_code


@dataclass(frozen=True)
class ClassEntry:
    """One class of a file. number: its index, if the file gives one. where: its place, for messages ("line 3")."""

    number: int | None
    name: str
    where: str


@dataclass(frozen=True)
class Row:
    """The cells of one row of a table. where: its place, for messages ("line 3")."""

    where: str
    cells: list[str]


NAME_COLUMNS = (
    *("class_name", "classname", "label_name", "display_name", "name", "class", "classes", "label", "labels"),
    *("action", "activity", "category", "title", "text"),
)
NUMBER_COLUMNS = (
    *("index", "idx", "id", "class_id", "class_index", "label_id", "class_idx", "number", "no", "label", "class"),
)
_HEADER_WORDS = frozenset((*NAME_COLUMNS, *NUMBER_COLUMNS, "names", "description", "folder", "count"))
_NUMBER_FIRST = re.compile(r"(\d{1,9})(?:[\s:.,;)]\s*|\s+)(\S.*)")
_NUMBER_LAST = re.compile(r"(\S.*?)[\s:,;]\s*(\d{1,9})")


def entries_of_lines(text: str) -> list[ClassEntry]:
    """One name per line, with the numbers before or after the names if every line has one."""
    lines = [(f"line {n}", line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(where, line) for where, line in lines if line and not line.startswith("#")]
    for pattern, number, name in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        matches = [(where, match) for where, line in lines if (match := pattern.fullmatch(line))]
        if lines and len(matches) == len(lines):
            entries = [ClassEntry(int(match[number]), match[name].strip(), where) for where, match in matches]
            _check_numbers_count(entries)
            return entries
    _check_plain_lines([line for _, line in lines])
    return [ClassEntry(None, line, where) for where, line in lines]


def entries_of_table(rows: list[Row]) -> list[ClassEntry]:
    """Names from the column with such a header, else from the first with text; numbers if a column has them."""
    if not rows:
        return []
    first = [cell.casefold().strip().replace(" ", "_") for cell in rows[0].cells]
    has_header = any(cell in _HEADER_WORDS for cell in first) and not any(map(_is_number, first))
    body = rows[1:] if has_header else rows
    if not body:
        return []
    columns = _columns(body)
    header = first if has_header else []
    names_at = _name_column(header, columns)
    numbers_at = _number_column(header, columns, names_at)
    return [
        ClassEntry(None if numbers_at is None else int(row.cells[numbers_at]), row.cells[names_at], row.where)
        for row in body
    ]


def split_rows(text: str, delimiters: str) -> list[Row]:
    """The rows that are not blank. The delimiter is the first of `delimiters` that occurs in the first row."""
    head = next((line for line in text.splitlines() if line.strip() and line[0] != "#"), "")
    delimiter = next((char for char in delimiters if char in head), None)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or delimiters[0], skipinitialspace=True)
    try:
        rows = [Row(f"line {reader.line_num}", [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    return [row for row in rows if any(row.cells)]


def _columns(rows: list[Row]) -> list[list[str]]:
    """ValueError if rows have different numbers of cells."""
    width = max(len(row.cells) for row in rows)
    for row in rows:
        if len(row.cells) != width:
            raise ValueError(
                f"{row.where} has {len(row.cells)} columns, but other rows have {width} ({_brief(row.cells)})"
            )
    return [[row.cells[i] for row in rows] for i in range(width)]


def _check_numbers_count(entries: list[ClassEntry]) -> None:
    """ValueError unless the numbers count from 0 or 1: other numbers may be parts of the names."""
    numbers = sorted(entry.number for entry in entries if entry.number is not None)
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > 1:
        shown = ", ".join(f"number {entry.number}: {entry.name!r}" for entry in entries[:3])
        raise ValueError(
            f"every line has a number, but the numbers do not count from 0 or 1 ({shown}); if they are part of the "
            "names, write a JSON list"
        )


def _check_plain_lines(lines: list[str]) -> None:
    """ValueError if the lines look like anything else than names."""
    shown = ", ".join(map(repr, lines[:3]))
    if len(lines) > 1 and any("\t" in line for line in lines):
        raise ValueError(f"the lines contain tabs, like a table ({shown}): name the file .tsv")
    for mark in (",", ";", "|"):
        counts = {line.count(mark) for line in lines}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            raise ValueError(
                f"every line contains {mark!r}, like a table ({shown}): name the file .csv, or write a JSON list if it "
                "is part of the names"
            )
    if len(lines) == 1 and lines[0].count(",") > 1:
        raise ValueError(f"it is one line with commas ({shown}): write one name per line")
    if lines and all(line[0] in "\"'" or line.startswith(("- ", "* ")) for line in lines):
        raise ValueError(f"the lines are quoted or itemized ({shown}): write only the names")
    if len(lines) > 1 and lines[0].casefold() in _HEADER_WORDS:
        raise ValueError(f"the first line, {lines[0]!r}, may be a header or a class: remove it, or name the file .csv")


def _name_column(header: list[str], columns: list[list[str]]) -> int:
    with_text = [i for i, cells in enumerate(columns) if not all(map(is_code, cells))]
    with_header = [i for name in NAME_COLUMNS for i in with_text if i < len(header) and header[i] == name]
    if not with_text:
        raise ValueError(f"no column has names, only numbers or codes ({_brief([cells[0] for cells in columns])})")
    return (with_header or with_text)[0]


def _number_column(header: list[str], columns: list[list[str]], names_at: int) -> int | None:
    """The column that numbers the classes; None if there is none."""
    for i, cells in enumerate(columns):
        if i == names_at or not all(map(_is_number, cells)):
            continue
        numbers = sorted(map(int, cells))
        counts = numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] <= 1
        has_header = i < len(header) and header[i] in NUMBER_COLUMNS
        if has_header or (counts and not header):
            return i
    return None


def _is_number(cell: str) -> bool:
    return cell.isascii() and cell.isdigit() and len(cell) < 10


def _brief(cells: list[str]) -> str:
    return " | ".join(cells[:4]) + (" | …" if len(cells) > 4 else "")
