"""Embeddings as tables of pyarrow, a batch of rows at a time. Parquet files and Lance data sets are made of these."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from embedonce.pipeline.embedding_files.selection import EmbeddedRows, EmbeddingSelection

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 16 << 20  # of embeddings in a batch, as float32
METADATA_KEY = b"embedonce"

OnRows = Callable[[int], None]  # called with the number of rows that were written


def table_schema(selection: EmbeddingSelection, dtype: str) -> "pa.Schema":
    """The columns, with the description of the embeddings as JSON in the metadata. dtype: "float16" or "float32"."""
    import pyarrow as pa

    value = pa.float16() if dtype == "float16" else pa.float32()
    fields = [
        ("video_uid", pa.string()),
        ("source", pa.string()),
        ("t_sec", pa.float64()),
        ("pts", pa.int64()),
        ("frame_index", pa.int64()),
    ]
    if selection.label_set is not None:
        fields += [("labels", pa.list_(pa.string())), ("split", pa.string())]
    fields.append(("embedding", pa.list_(value, selection.teacher.embed_dim)))
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(selection.description())})


def record_batches(
    selection: EmbeddingSelection, schema: "pa.Schema", on_rows: OnRows = lambda count: None
) -> Iterator["pa.RecordBatch"]:
    """All rows in batches of about BATCH_BYTES; on_rows: called after each."""
    waiting: list[EmbeddedRows] = []
    num_bytes = 0
    for rows in selection.rows():
        waiting.append(rows)
        num_bytes += 2 * rows.embeddings.nbytes
        if num_bytes >= BATCH_BYTES:
            yield _batch(waiting, schema, on_rows)
            waiting, num_bytes = [], 0
    if waiting:
        yield _batch(waiting, schema, on_rows)


def _batch(parts: list[EmbeddedRows], schema: "pa.Schema", on_rows: OnRows) -> "pa.RecordBatch":
    import pyarrow as pa

    columns = {
        "video_uid": [part.video_uid for part in parts for _ in part.pts],
        "source": [part.source for part in parts for _ in part.pts],
        "t_sec": np.concatenate([part.t_sec for part in parts]),
        "pts": np.concatenate([part.pts for part in parts]),
        "frame_index": np.concatenate([part.frame_index for part in parts]),
        "labels": [labels for part in parts if part.labels for labels in part.labels.labels],
        "split": [split for part in parts if part.labels for split in part.labels.splits],
    }
    arrays = [pa.array(columns[name], schema.field(name).type) for name in schema.names[:-1]]
    embedding = schema.field("embedding").type
    values = np.concatenate([part.embeddings for part in parts]).astype(embedding.value_type.to_pandas_dtype())
    arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=embedding))
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    on_rows(batch.num_rows)
    return batch
