"""Files that name classes: lists for --classes, and maps from folder names to class names for --class-names.

Reads bounded amounts of text; the formats are told apart by suffix and content, and what is not clear is refused with
what was understood.
"""

import errno
import itertools
from pathlib import Path

from embedonce.cache.limits import MAX_CLASSES, MAX_NAME
from embedonce.models.plain_files import NotPlainError, read_plain
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.class_names import is_plain
from embedonce.pipeline.sources.folder.class_tables import entries_of_lines, entries_of_table, split_rows

MAX_BYTES = 16 << 20
FORMATS = "one name a line (.txt), a table with a column `name` (.csv, .tsv), or a list or map (.json)"
TABLE_SUFFIXES = {".csv": ",;\t", ".tsv": "\t"}


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names of a UTF-8 file in the order of their numbers, where they have some, else of the file.

    One name a line (also `0 name` and `name 0`; lines that begin with # are skipped), CSV or TSV with a column of
    names, a JSON list of names, or a map from numbers to names or back. InputError where it cannot be read, is
    unclear, names nothing, or names a class twice.
    """
    text = _read(path)
    try:
        entries = _entries(path, text)
        names = _in_order(entries)
        _check_names(names)
    except ValueError as error:
        raise InputError(f"{path}: {error}; give {FORMATS}") from error
    return tuple(name for name, _ in names)


def read_class_map(path: Path, folders: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the class name of each of these names, what to tell). The file: `folder,name` rows, or a JSON map.

    InputError where it cannot be read or is unclear, lacks a folder, or gives two the same name.
    """
    text = _read(path)
    try:
        pairs = _pairs(path, text, set(folders))
        names = [pairs.get(folder) for folder in folders]
        lacking = [folder for folder, name in zip(folders, names, strict=True) if name is None]
        if lacking:
            raise ValueError(_lacking(lacking, len(folders), pairs))
        _check_names([(name, f"the row of {folder!r}") for folder, name in zip(folders, names, strict=True)])
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    unused = len(set(pairs) - set(folders))
    return tuple(names), ((f"{path}: {unused} entries are of no class in the data",) if unused else ())


def _read(path: Path) -> str:
    try:
        return read_plain(path, MAX_BYTES).decode("utf-8-sig")
    except NotPlainError as error:
        if error.errno == errno.EFBIG:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MB, which is no list of class names") from error
        raise InputError(f"{path} is no list of class names: it {error.strerror}; give {FORMATS}") from error
    except OSError as error:
        raise InputError(f"cannot read class names from {path}: {error.strerror}; give {FORMATS}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read class names from {path}: it is not UTF-8 text; give {FORMATS}") from error


def _entries(path: Path, text: str) -> list[tuple[int | None, str, str]]:
    """(number or None, name, where) of every class."""
    suffix = path.suffix.lower()
    if suffix == ".json" or text.lstrip()[:1] in ("[", "{"):
        from embedonce.pipeline.sources.folder.class_json import entries_of_json

        return entries_of_json(text)
    if suffix in TABLE_SUFFIXES:
        rows = split_rows(text, TABLE_SUFFIXES[suffix])
        return entries_of_table([(where, row) for where, row in rows if row[0][:1] != "#"])
    if suffix in (".yaml", ".yml", ".xml", ".html"):
        raise ValueError(f"{suffix} files are not read")
    return entries_of_lines(text)


def _in_order(entries: list[tuple[int | None, str, str]]) -> list[tuple[str, str]]:
    """(name, where) by number. ValueError where a number stands for two classes."""
    if not entries:
        raise ValueError("it holds no class name")
    if entries[0][0] is None:
        return [(name, where) for _, name, where in entries]
    ordered = sorted(entries, key=lambda entry: entry[0])
    for (one, name, _), (two, other, where) in itertools.pairwise(ordered):
        if one == two:
            raise ValueError(f"{where}: {other!r} has the number {two}, which {name!r} has already")
    return [(name, where) for _, name, where in ordered]


def _check_names(names: list[tuple[str, str]]) -> None:
    if len(names) > MAX_CLASSES:
        raise ValueError(f"it names {len(names)} classes, and {MAX_CLASSES} is the most")
    first: dict[str, str] = {}
    for name, where in names:
        if not name.strip():
            raise ValueError(f"{where}: the name is empty")
        if len(name) > MAX_NAME:
            raise ValueError(f"{where}: the name has {len(name)} characters, and {MAX_NAME} is the most")
        if not is_plain(name):
            raise ValueError(f"{where}: {name!r} holds control characters")
        if name in first:
            raise ValueError(f"{where}: class {name!r} is on {first[name]} already; remove one")
        first[name] = where


def _pairs(path: Path, text: str, folders: set[str]) -> dict[str, str]:
    if path.suffix.lower() == ".json" or text.lstrip()[:1] == "{":
        from embedonce.pipeline.sources.folder.class_json import pairs_of_json

        return pairs_of_json(text)
    rows = split_rows(text, TABLE_SUFFIXES.get(path.suffix.lower(), ",;\t"))
    by_words = [(f"line {n}", line.split(None, 1)) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not any(row[0] in folders for _, row in rows) and any(cells[0] in folders for _, cells in by_words):
        rows = by_words  # `n01440764 tench, Tinca tinca`
    return _pairs_of_rows([(place, row) for place, row in rows if row[0][:1] != "#" or row[0] in folders], folders)


def _pairs_of_rows(rows: list[tuple[str, list[str]]], folders: set[str]) -> dict[str, str]:
    wide = next(((where, row) for where, row in rows if len(row) != 2), None)
    if wide:
        raise ValueError(f"{wide[0]} has {len(wide[1])} columns ({' | '.join(wide[1][:4])}); give two, `folder,name`")
    if rows and rows[0][1][0] not in folders and any(row[0] in folders for _, row in rows[1:]):
        rows = rows[1:]  # a header
    pairs: dict[str, str] = {}
    for where, (folder, name) in rows:
        if pairs.setdefault(folder, name) != name:
            raise ValueError(f"{where}: {folder!r} is called {name!r} here and {pairs[folder]!r} before")
    return pairs


def _lacking(lacking: list[str], total: int, pairs: dict[str, str]) -> str:
    shown = ", ".join(map(repr, lacking[:3])) + (", …" if len(lacking) > 3 else "")
    entries = "; ".join(f"{folder!r} is {name!r}" for folder, name in list(pairs.items())[:3]) or "nothing"
    return f"it names no class for {len(lacking)} of {total} ({shown}); its first entries, as understood: {entries}"
