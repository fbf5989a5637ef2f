"""Embeddings as a Lance data set, which is a folder. pylance is an optional library, imported as `lance`."""

from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.embedding_files.selection import EmbeddingSelection
from embedonce.pipeline.embedding_files.tables import OnRows, record_batches, table_schema

VERSIONS = "_versions"  # a folder that every Lance data set has


def write(selection: EmbeddingSelection, path: Path, dtype: str, on_rows: OnRows) -> None:
    """Write a row for each frame, with the columns of table_schema()."""
    import lance
    import pyarrow as pa

    schema = table_schema(selection, dtype)
    batches = _KeepsError(record_batches(selection, schema, on_rows))
    try:
        lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), path, schema=schema)
    except Exception as error:
        raise batches.error or error from error  # lance has put it, with its traceback, into a message of its own


class _KeepsError:
    """An iterator that remembers the error that it ended with."""

    def __init__(self, batches: Iterator):
        self._batches = batches
        self.error: BaseException | None = None

    def __iter__(self) -> "_KeepsError":
        return self

    def __next__(self):
        try:
            return next(self._batches)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def is_export(path: Path) -> bool:
    """Whether this is a Lance data set."""
    return (path / VERSIONS).is_dir()
