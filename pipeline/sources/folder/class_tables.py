"""Class names in plain text: lines, numbered lines, and tables with a column of names. Pure functions of text."""

import csv
import io
import re

from embedonce.pipeline.naming.class_names import is_code

Entry = tuple[int | None, str, str]  # number of the class where it has one, name, where it stands

NAME_COLUMNS = ("class_name", "classname", "label_name", "display_name", "name", "class", "classes", "label", "labels")
NAME_COLUMNS += ("action", "activity", "category", "title", "text")
NUMBER_COLUMNS = (
    "index",
    "idx",
    "id",
    "class_id",
    "class_index",
    "label_id",
    "class_idx",
    "number",
    "no",
    "label",
    "class",
)
_HEADER_WORDS = frozenset((*NAME_COLUMNS, *NUMBER_COLUMNS, "names", "description", "folder", "count"))
_NUMBER_FIRST = re.compile(r"(\d{1,9})(?:[\s:.,;)]\s*|\s+)(\S.*)")
_NUMBER_LAST = re.compile(r"(\S.*?)[\s:,;]\s*(\d{1,9})")


def entries_of_lines(text: str) -> list[Entry]:
    """Names of a text with one a line, by the numbers before or after them where all lines have such."""
    lines = [(f"line {n}", line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(where, line) for where, line in lines if line and not line.startswith("#")]
    for pattern, number, name in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        found = [(where, pattern.fullmatch(line)) for where, line in lines]
        if lines and all(match for _, match in found):
            return _numbered([(int(match[number]), match[name].strip(), where) for where, match in found])
    _check_plain_lines([line for _, line in lines])
    return [(None, line, where) for where, line in lines]


def entries_of_table(rows: list[tuple[str, list[str]]]) -> list[Entry]:
    """Names in the column that is called so, else in the first with text; by a column of numbers where there is one."""
    if not rows:
        return []
    first = [cell.casefold().strip().replace(" ", "_") for cell in rows[0][1]]
    has_header = any(cell in _HEADER_WORDS for cell in first) and not any(map(_is_number, first))
    body = rows[1:] if has_header else rows
    if not body:
        return []
    width = max(len(row) for _, row in body)
    if any(len(row) != width for _, row in body):
        where, row = next((where, row) for where, row in body if len(row) != width)
        raise ValueError(f"{where} has {len(row)} columns where others have {width} ({_shown(row)})")
    columns = [[row[i] for _, row in body] for i in range(width)]
    names_at = _name_column(first if has_header else [], columns)
    numbers_at = _number_column(first if has_header else [], columns, names_at)
    where = [place for place, _ in body]
    numbers = [None] * len(body) if numbers_at is None else [int(cell) for cell in columns[numbers_at]]
    return list(zip(numbers, columns[names_at], where, strict=True))


def split_rows(text: str, delimiters: str) -> list[tuple[str, list[str]]]:
    """(where, cells) of every row that is not blank; the delimiter is the first of these that the first row has."""
    head = next((line for line in text.splitlines() if line.strip() and line[0] != "#"), "")
    delimiter = next((char for char in delimiters if char in head), None)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or delimiters[0], skipinitialspace=True)
    try:
        rows = [(f"line {reader.line_num}", [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    return [(where, row) for where, row in rows if any(row)]


def _numbered(entries: list[tuple[int, str, str]]) -> list[Entry]:
    """ValueError where the numbers do not count the classes: they may be part of the names."""
    numbers = sorted(number for number, _, _ in entries)
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > 1:
        shown = ", ".join(f"number {number}: {name!r}" for number, name, _ in entries[:3])
        raise ValueError(
            f"every line has a number, but the numbers do not count from 0 or 1 ({shown}); where they are part of the "
            "names, write a JSON list"
        )
    return list(entries)


def _check_plain_lines(lines: list[str]) -> None:
    """ValueError where lines look like something else than names."""
    shown = ", ".join(map(repr, lines[:3]))
    if len(lines) > 1 and any("\t" in line for line in lines):
        raise ValueError(f"the lines have tabs in them, as tables do ({shown}): call the file .tsv")
    for mark in (",", ";", "|"):
        counts = {line.count(mark) for line in lines}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            raise ValueError(
                f"every line has {mark!r} in it, as tables do ({shown}): call the file .csv, or write a JSON list "
                "where they are part of the names"
            )
    if len(lines) == 1 and lines[0].count(",") > 1:
        raise ValueError(f"it is one line with commas ({shown}): write one name a line")
    if lines and all(line[0] in "\"'" or line.startswith(("- ", "* ")) for line in lines):
        raise ValueError(f"the lines are quoted or itemized ({shown}): write the names alone")
    if len(lines) > 1 and lines[0].casefold() in _HEADER_WORDS:
        raise ValueError(f"the first line, {lines[0]!r}, may be a header or a class: remove it, or call the file .csv")


def _name_column(header: list[str], columns: list[list[str]]) -> int:
    texts = [i for i, cells in enumerate(columns) if not all(map(is_code, cells))]
    named = [i for name in NAME_COLUMNS for i in texts if i < len(header) and header[i] == name]
    if not texts:
        raise ValueError(f"no column holds names, only numbers or codes ({_shown([cells[0] for cells in columns])})")
    return (named or texts)[0]


def _number_column(header: list[str], columns: list[list[str]], names_at: int) -> int | None:
    """The column that counts the classes; None where no column does."""
    for i, cells in enumerate(columns):
        if i == names_at or not all(map(_is_number, cells)):
            continue
        numbers = sorted(map(int, cells))
        counts = numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] <= 1
        is_called = i < len(header) and header[i] in NUMBER_COLUMNS
        if is_called or (counts and not header):
            return i
    return None


def _is_number(cell: str) -> bool:
    return cell.isascii() and cell.isdigit() and len(cell) < 10


def _shown(row: list[str]) -> str:
    return " | ".join(row[:4]) + (" | …" if len(row) > 4 else "")
