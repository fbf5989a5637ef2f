"""Embeddings as one Parquet file. pyarrow is an optional library."""

from pathlib import Path

from embedonce.pipeline.embedding_files.selection import EmbeddingSelection
from embedonce.pipeline.embedding_files.tables import OnRows, record_batches, table_schema


def write(selection: EmbeddingSelection, path: Path, dtype: str, on_rows: OnRows) -> None:
    """Write a row for each frame, in row groups of about 16 MiB."""
    from pyarrow.parquet import ParquetWriter

    schema = table_schema(selection, dtype)
    with ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in record_batches(selection, schema, on_rows):
            writer.write_batch(batch)


def is_export(path: Path) -> bool:
    """Whether this is a Parquet file."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"PAR1"
