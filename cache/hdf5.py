"""The HDF5 back end: shards as HDF5 images in memory, and random access to their rows.

The only importer of h5py. Knows nothing of folders, records or commits; layout in docs/cache-format.md.
"""

import io
from pathlib import Path

import h5py
import numpy as np

from cache.errors import DamagedError
from cache.schema import FORMAT_VERSION, Encoded, FrameBatch

SUFFIX = ".h5"
ROWS_PER_CHUNK = 32  # one view of 32 consecutive frames is one contiguous read (32 KiB at 512 dimensions)
BYTES_PER_CHUNK = 1 << 18


def encode_frames(batch: FrameBatch) -> Encoded:
    """A FrameBatch as the bytes of an HDF5 file."""
    segments = batch.segments
    video_of_row = np.repeat(np.arange(len(segments), dtype=np.int32), [s.num_rows for s in segments])
    offsets = np.cumsum([0, *map(len, batch.jpegs)], dtype=np.int64)
    arrays = {
        "key": np.array(batch.keys, dtype="S128"),
        "video": video_of_row,
        "frame_index": _joined([s.frame_index for s in segments], np.int64),
        "pts": _joined([s.pts for s in segments], np.int64),
        "t_sec": _joined([s.t_sec for s in segments], np.float64),
        "jpeg": np.frombuffer(b"".join(batch.jpegs), np.uint8),
        "jpeg_offset": offsets,
        "embeddings": batch.embeddings,
        "video_uid": np.array([s.video_uid for s in segments], dtype="S128"),
        "time_base": np.array([s.time_base for s in segments], np.int64).reshape(-1, 2),
        "views": np.array([s.views for s in segments], np.int32).reshape(len(segments), -1, 6),
    }
    return Encoded(_file_image(arrays, "frames"), {})


def encode_logits(keys: list[str], logits: np.ndarray) -> Encoded:
    """Keys and (N, 1+K, C) float32 logits as the bytes of an HDF5 file."""
    return Encoded(_file_image({"key": np.array(keys, dtype="S128"), "logits": logits}, "logits"), {})


class Hdf5Shard:
    """An open HDF5 shard, of frames or of logits. Opened on first use, so that it may be sent to a worker."""

    def __init__(self, path: Path, index: dict):
        self._path = path
        self._file = None

    def keys(self) -> list[str]:
        return [key.decode("ascii") for key in self._dataset("key")[:]]

    def jpeg(self, row: int) -> bytes:
        start, stop = self._dataset("jpeg_offset")[row : row + 2]
        return self._dataset("jpeg")[start:stop].tobytes()

    def embeddings(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._dataset("embeddings")[start:stop, view]

    def logits(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._dataset("logits")[start:stop, view]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getstate__(self):
        return {"_path": self._path, "_file": None}

    def _dataset(self, name: str) -> h5py.Dataset:
        if self._file is None:
            try:
                self._file = h5py.File(self._path, "r")
            except OSError as error:
                raise DamagedError(f"{self._path} is not a readable HDF5 file: {error}") from error
        if name not in self._file:
            raise DamagedError(f"{self._path} has no dataset {name!r}")
        return self._file[name]


def _joined(parts: list[np.ndarray], dtype) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype) for part in parts]) if parts else np.zeros(0, dtype)


def _file_image(arrays: dict[str, np.ndarray], kind: str) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["kind"] = np.bytes_(kind)  # fixed length: nothing in a shard has a variable length
        for name, values in arrays.items():
            chunks = _chunks(name, values)
            # fletcher32 needs chunks, and an empty dataset can have none
            file.create_dataset(name, data=values, chunks=chunks, fletcher32=chunks is not None)
    return buffer.getvalue()


def _chunks(name: str, values: np.ndarray) -> tuple[int, ...] | None:
    if values.size == 0:
        return None
    if name in ("embeddings", "logits"):
        return (min(ROWS_PER_CHUNK, len(values)), 1, values.shape[2])
    if name == "jpeg":
        return (min(BYTES_PER_CHUNK, len(values)),)
    return values.shape
