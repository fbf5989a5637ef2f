"""Parquet files as tables, read in batches of rows by pyarrow, which is an optional library."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from embedonce.models.plain_files import open_plain
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest.cell_text import text_of
from embedonce.pipeline.sources.manifest.table import BadRow, Cells, Table, TableError, lower_names

BATCH_ROWS = 4096


def parquet_table(path: Path, wanted: Collection[str], bad_row: BadRow) -> Table:
    """The wanted columns of the table in a Parquet file.

    InputError if pyarrow is not installed, TableError if the file is damaged. bad_row: gets values that are no text or
    number.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f'{path}: Parquet files need a library: pip install "embedonce[parquet]", or save the table as CSV '
            f"({error})"
        ) from error
    file = open_plain(path)
    try:
        parquet = ParquetFile(file)
        written = parquet.schema_arrow.names
    except (ArrowException, OSError) as error:
        file.close()
        raise TableError(1, f"expected a Parquet file, got something else: {_first_line(error)}") from error
    columns = dict(zip(lower_names(written), written, strict=True))
    read = [name for lower, name in columns.items() if lower in wanted]
    return Table(_rows(parquet, read, bad_row), "row", columns)


def _rows(parquet: Any, columns: list[str], bad_row: BadRow) -> Iterator[tuple[int, Cells]]:
    from pyarrow import ArrowException

    number = 0
    try:
        for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
            for values in batch.to_pylist():
                number += 1
                yield from _row(number, values, bad_row)
    except (ArrowException, OSError) as error:
        raise TableError(number + 1, f"the file is damaged: {_first_line(error)}") from error
    finally:
        parquet.close(force=True)


def _row(number: int, values: dict[str, Any], bad_row: BadRow) -> Iterator[tuple[int, Cells]]:
    try:
        cells = {(name := written.strip().casefold()): text_of(name, value) for written, value in values.items()}
    except ValueError as error:
        bad_row(number, str(error))
        return
    yield number, cells


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
