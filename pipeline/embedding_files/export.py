"""Exports the embeddings of a cache as files that other programs read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.reader import CacheReader
from embedonce.pipeline.embedding_files import lance_dataset, numpy_files, parquet
from embedonce.pipeline.embedding_files.destination import new_output
from embedonce.pipeline.embedding_files.selection import EmbeddingSelection
from embedonce.pipeline.embedding_files.tables import OnRows
from embedonce.pipeline.files.disk_space import check_space
from embedonce.pipeline.runtimes.requirements import LANCE, PARQUET, Requirement, require

DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class Format:
    """How embeddings are written.

    write: makes the file or folder at a path that does not exist. is_export: whether what is at a path is of this
    format, so that it may be replaced. requirement: libraries that it needs.
    """

    write: Callable[[EmbeddingSelection, Path, str, OnRows], None]
    is_export: Callable[[Path], bool]
    requirement: Requirement | None = None


FORMATS = {
    "parquet": Format(parquet.write, parquet.is_export, PARQUET),
    "npy": Format(numpy_files.write, numpy_files.is_export),
    "lance": Format(lance_dataset.write, lance_dataset.is_export, LANCE),
}


def write_embeddings(
    reader: CacheReader,
    path: Path,
    format: str,
    view: int = 0,
    teacher: str | None = None,
    label_set: str | None = None,
    *,
    dtype: str = "float32",
    overwrite: bool = False,
    on_rows: OnRows = lambda count: None,
) -> int:
    """Write the embeddings of a cache in a format, a key of FORMATS, to path; returns the number of rows.

    view, teacher, label_set: as for EmbeddingSelection. dtype: of DTYPES; embeddings are stored as float16. overwrite:
    replace what an export of this format wrote to path. on_rows: called with the number of rows after each batch.
    InputError if a library is missing, path exists, or there are no such embeddings; nothing is written then.
    """
    chosen = FORMATS[format]
    if chosen.requirement is not None:
        require(chosen.requirement, f"--format {format}")
    selection = EmbeddingSelection(reader, view, teacher, label_set)
    width = selection.teacher.embed_dim * (4 if dtype == "float32" else 2)
    check_space(path.parent, selection.num_rows * width, "choose another --output")
    with new_output(path, overwrite, chosen.is_export) as temporary:
        chosen.write(selection, temporary, dtype, on_rows)
    return selection.num_rows


def write_parquet(
    reader: CacheReader, path: Path, view: int = 0, teacher: str | None = None, label_set: str | None = None, **options
) -> int:
    """Write the embeddings of a cache as one Parquet file, a row for each frame; returns the number of rows.

    Columns: video_uid, source, t_sec, pts, frame_index, embedding (fixed-size list), and with a label set labels (list
    of class names) and split. The metadata of the schema describes the embeddings as JSON, under the key `embedonce`.
    options, errors: as for write_embeddings().
    """
    return write_embeddings(reader, path, "parquet", view, teacher, label_set, **options)
