"""The HDF5 back end: each shard is one HDF5 file, written in memory.

docs/cache-format.md describes the layout; hdf5_shard.py reads it.
"""

import io

import h5py
import numpy as np

from embedonce.cache.backends.hdf5_shard import KEPT_BYTES, KEY_TYPE, ROWS_PER_CHUNK, Hdf5Shard, segment_columns
from embedonce.cache.backends.shard_format import Encoded, ShardFormat, ShardShape
from embedonce.cache.schema import FORMAT_VERSION, FrameBatch
from embedonce.cache.stores.base import Store

BYTES_PER_CHUNK = 1 << 16  # about one JPEG: a random read takes two chunks, and reading in order hardly costs more


class Hdf5Format(ShardFormat):
    """Shards that plain h5py can read."""

    name, suffix = "hdf5", ".h5"
    row_overhead_bytes = 400  # keys, times and requests

    def encode_frames(self, batch: FrameBatch) -> Encoded:
        columns = segment_columns(batch.segments)
        arrays = {
            "key": np.array(batch.keys, KEY_TYPE),
            **{name: columns[name] for name in ("video", "frame_index", "pts", "t_sec")},
            "jpeg": np.frombuffer(b"".join(batch.jpegs), np.uint8),
            "jpeg_offset": np.cumsum([0, *map(len, batch.jpegs)], dtype=np.int64),
            "embeddings": batch.embeddings,
            "crop_crc32": batch.crop_crc32,
            **{name: columns[name] for name in ("video_uid", "time_base", "views")},
        }
        return Encoded(_file_image(arrays, "frames"), {})

    def encode_logits(self, keys: list[str], logits: np.ndarray) -> Encoded:
        return Encoded(_file_image({"key": np.array(keys, KEY_TYPE), "logits": logits}, "logits"), {})

    def encode_embeddings(self, keys: list[str], embeddings: np.ndarray, crop_crc32: np.ndarray) -> Encoded:
        arrays = {"key": np.array(keys, KEY_TYPE), "embeddings": embeddings, "crop_crc32": crop_crc32}
        return Encoded(_file_image(arrays, "embeddings"), {})

    def open(self, store: Store, name: str, index: dict, shape: ShardShape) -> Hdf5Shard:
        return Hdf5Shard(store, name, shape)


def _file_image(arrays: dict[str, np.ndarray], kind: str) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110"), rdcc_nbytes=KEPT_BYTES) as file:
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["kind"] = np.bytes_(kind)  # of fixed length, like everything in a shard
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
