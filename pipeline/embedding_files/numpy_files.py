"""Embeddings as one `.npy` file per video, with the times of its rows in a second one, and an index of all."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from embedonce.pipeline.embedding_files.row_labels import clip_values
from embedonce.pipeline.embedding_files.selection import EmbeddingSelection
from embedonce.pipeline.embedding_files.tables import OnRows

INDEX = "index.json"


def write(selection: EmbeddingSelection, folder: Path, dtype: str, on_rows: OnRows) -> None:
    """Write `<uid>.npy` (N, D) of dtype and `<uid>.times.npy` (N,) float64 seconds of each video, in time order.

    `index.json` lists the videos, describes the embeddings, and has the clips of the label set, if one is named. The
    rows of a video are appended to its files as they are read: a long one may not fit in memory.
    """
    folder.mkdir()
    rows = selection.rows()
    for uid in selection.video_uids:
        left, dim = selection.num_rows_of(uid), selection.teacher.embed_dim
        with open(folder / f"{uid}.npy", "xb") as features, open(folder / f"{uid}.times.npy", "xb") as times:
            features.write(_header((left, dim), np.dtype(dtype)))
            times.write(_header((left,), np.dtype(np.float64)))
            while left:
                part = next(rows)
                features.write(part.embeddings.astype(dtype).tobytes())
                times.write(part.t_sec.astype(np.float64).tobytes())
                left -= len(part.pts)
                on_rows(len(part.pts))
    (folder / INDEX).write_text(json.dumps(_index(selection, dtype), indent=1), "utf-8")


def is_export(path: Path) -> bool:
    """Whether write() made this folder: its index describes every file in it."""
    try:
        index = json.loads((path / INDEX).read_bytes())
        listed = {video[key] for video in index["videos"] for key in ("features", "times")}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return {file.name for file in path.iterdir()} <= {INDEX, *listed}


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """The header of a `.npy` file, which the values follow in C order."""
    buffer = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def _index(selection: EmbeddingSelection, dtype: str) -> dict:
    document = selection.description() | {"dtype": dtype, "videos": list(_videos(selection))}
    if selection.label_set is not None:
        document["clips"] = clip_values(selection.label_set)
    return document


def _videos(selection: EmbeddingSelection) -> Iterator[dict]:
    for uid in selection.video_uids:
        files = {"features": f"{uid}.npy", "times": f"{uid}.times.npy"}
        yield {"video_uid": uid, "source": selection.source_of(uid), "rows": selection.num_rows_of(uid), **files}
