"""Opens a table by the suffix of its file."""

from collections.abc import Collection
from pathlib import Path

from embedonce.models.plain_files import NotPlainError, open_plain
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest.delimited import delimited_table
from embedonce.pipeline.sources.manifest.json_lines import json_lines_table
from embedonce.pipeline.sources.manifest.parquet import parquet_table
from embedonce.pipeline.sources.manifest.table import BadRow, Table

DELIMITED, JSON_LINES, PARQUET = (".csv", ".tsv"), (".jsonl", ".ndjson"), (".parquet", ".pq")
SUFFIXES = (*DELIMITED, *JSON_LINES, *PARQUET)


def open_table(path: Path, wanted: Collection[str], bad_row: BadRow) -> Table:
    """The table in a file. wanted: names of the columns to read, in lower case; there may be others.

    InputError if the file cannot be read or has an unknown suffix; TableError as its format raises it.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a table: give a folder of videos with --data-dir")
    if suffix not in SUFFIXES:
        raise InputError(f"{path} is not a table of a known format: its name must end in one of {', '.join(SUFFIXES)}")
    try:
        open_plain(path).close()
        if suffix in PARQUET:
            return parquet_table(path, wanted, bad_row)
        return json_lines_table(path, wanted, bad_row) if suffix in JSON_LINES else delimited_table(path, bad_row)
    except NotPlainError as error:
        raise InputError(f"{path} is not a table: it {error.strerror}") from error
    except OSError as error:
        raise InputError(f"cannot read the table {path}: {error.strerror}") from error
