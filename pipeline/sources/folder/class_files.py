"""Reads files of class names: lists for --classes, and maps from folder names to class names for --class-names.

The format is recognized by suffix and content; an unclear file is refused with the reason.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

from embedonce.cache.limits import MAX_CLASSES, MAX_NAME
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.files.user_values import json_value, user_text, yaml_value
from embedonce.pipeline.naming.class_names import is_plain
from embedonce.pipeline.naming.near_misses import with_near_misses
from embedonce.pipeline.sources.folder.class_tables import (
    ClassEntry,
    Row,
    entries_of_lines,
    entries_of_table,
    split_rows,
)
from embedonce.pipeline.sources.folder.class_values import entries_of, pairs_of

MAX_BYTES = 16 << 20
FORMATS = "one name per line (.txt), a table with a column `name` (.csv, .tsv), or a list or map (.json, .yaml)"
YAML = (".yaml", ".yml")
DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}  # suffix -> delimiters of a table's columns


def read_classes(path: Path) -> tuple[str, ...]:
    """The class names in a UTF-8 file, sorted by their numbers if it has numbers.

    Formats: one name per line (also `0 name` and `name 0`; lines that begin with # are skipped), CSV or TSV with a
    column of names, a JSON or YAML list of names, or a map from numbers to names or from names to numbers. InputError
    if the file cannot be read, is unclear, contains no name, or contains a name twice.
    """
    return tuple(read_numbered_classes(path).values())


def read_numbered_classes(path: Path) -> dict[int, str]:
    """read_classes(), by the numbers that the file gives; otherwise they count from 0."""
    text = user_text(path, MAX_BYTES, "class names", FORMATS)
    try:
        entries = _sorted_by_number(_entries(path, text))
        _check_names([(entry.name, entry.where) for entry in entries])
    except ValueError as error:
        raise InputError(f"{path}: {error}; give {FORMATS}") from error
    return {place if entry.number is None else entry.number: entry.name for place, entry in enumerate(entries)}


def read_class_map(path: Path, folders: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(class name of each folder, notes for the user). The file: `folder,name` rows, or a JSON or YAML map.

    InputError if the file cannot be read or is unclear, if a folder is missing, or if two have the same name: classes
    are renamed, and never merged.
    """
    text = user_text(path, MAX_BYTES, "class names", FORMATS)
    try:
        pairs = _pairs(path, text, set(folders))
        missing = [folder for folder in folders if folder not in pairs]
        if missing:
            raise ValueError(_missing(missing, len(folders), pairs))
        names = tuple(pairs[folder] for folder in folders)
        _refuse_merging(folders, names)
        _check_names([(name, f"the row of {folder!r}") for folder, name in zip(folders, names, strict=True)])
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    unused = sorted(set(pairs) - set(folders))
    if not unused:
        return names, ()
    return names, (f"{path}: {len(unused)} entries match no class of the data: {with_near_misses(unused, folders)}",)


def _entries(path: Path, text: str) -> list[ClassEntry]:
    suffix = path.suffix.lower()
    if suffix in YAML:
        return entries_of(yaml_value(text))
    if suffix == ".json" or text.lstrip()[:1] in ("[", "{"):
        return entries_of(json_value(text))
    if suffix in DELIMITERS:
        return entries_of_table([row for row in split_rows(text, DELIMITERS[suffix]) if row.cells[0][:1] != "#"])
    if suffix in (".xml", ".html"):
        raise ValueError(f"{suffix} files are not supported")
    return entries_of_lines(text)


def _sorted_by_number(entries: list[ClassEntry]) -> list[ClassEntry]:
    """ValueError if there are no entries, or if two have the same number."""
    if not entries:
        raise ValueError("it contains no class name")
    if entries[0].number is None:
        return entries
    ordered = sorted(entries, key=lambda entry: entry.number or 0)
    for one, two in itertools.pairwise(ordered):
        if one.number == two.number:
            raise ValueError(f"{two.where}: {two.name!r} has the number {two.number}, which {one.name!r} has already")
    return ordered


def _check_names(names: list[tuple[str, str]]) -> None:
    """names: (name, where). ValueError if one is empty, too long, unprintable or repeated, or if there are too many."""
    if len(names) > MAX_CLASSES:
        raise ValueError(f"it has {len(names)} classes; the maximum is {MAX_CLASSES}")
    first: dict[str, str] = {}
    for name, where in names:
        if not name.strip():
            raise ValueError(f"{where}: the name is empty")
        if len(name) > MAX_NAME:
            raise ValueError(f"{where}: the name has {len(name)} characters; the maximum is {MAX_NAME}")
        if not is_plain(name):
            raise ValueError(f"{where}: {name!r} contains control characters")
        if name in first:
            raise ValueError(f"{where}: class {name!r} is already on {first[name]}; remove one")
        first[name] = where


def _pairs(path: Path, text: str, folders: set[str]) -> dict[str, str]:
    suffix = path.suffix.lower()
    if suffix in YAML:
        return pairs_of(yaml_value(text))
    if suffix == ".json" or text.lstrip()[:1] == "{":
        return pairs_of(json_value(text))
    rows = split_rows(text, DELIMITERS.get(suffix, ",;\t"))
    by_spaces = [Row(f"line {n}", line.split(None, 1)) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not any(row.cells[0] in folders for row in rows) and any(row.cells[0] in folders for row in by_spaces):
        rows = by_spaces  # `n01440764 tench, Tinca tinca`
    return _pairs_of_rows([row for row in rows if row.cells[0][:1] != "#" or row.cells[0] in folders], folders)


def _pairs_of_rows(rows: list[Row], folders: set[str]) -> dict[str, str]:
    for row in rows:
        if len(row.cells) != 2:
            shown = " | ".join(row.cells[:4])
            raise ValueError(f"{row.where} has {len(row.cells)} columns ({shown}); give two, `folder,name`")
    if rows and rows[0].cells[0] not in folders and any(row.cells[0] in folders for row in rows[1:]):
        rows = rows[1:]  # a header
    pairs: dict[str, str] = {}
    for row in rows:
        folder, name = row.cells
        if pairs.setdefault(folder, name) != name:
            raise ValueError(f"{row.where}: {folder!r} is named {name!r} here, but {pairs[folder]!r} before")
    return pairs


def _refuse_merging(folders: tuple[str, ...], names: tuple[str, ...]) -> None:
    first: dict[str, str] = {}
    for folder, name in zip(folders, names, strict=True):
        if name.strip() and first.setdefault(name, folder) != folder:
            raise ValueError(
                f"{first[name]!r} and {folder!r} are both named {name!r}: classes are renamed, not merged; give "
                "different names, or put the videos of both into one folder"
            )


def _missing(missing: list[str], total: int, pairs: Mapping[str, str]) -> str:
    entries = "; ".join(f"{folder!r} is {name!r}" for folder, name in list(pairs.items())[:3]) or "nothing"
    return (
        f"it has no class name for {len(missing)} of {total} ({with_near_misses(missing, pairs)}); its first entries, "
        f"as understood: {entries}"
    )
