"""The WebDataset back end: each shard is one tar file, written in memory.

Tars are written without the webdataset package, which would load torch; plain webdataset reads them.
docs/cache-format.md describes the layout; tar_shard.py reads it.
"""

import json

import numpy as np

from embedonce.cache.backends.shard_format import Encoded, ShardFormat, ShardShape
from embedonce.cache.backends.tar_index import index_of
from embedonce.cache.backends.tar_layout import BLOCK, EXTENSIONS, end_of_archive, member_header, npy_header
from embedonce.cache.backends.tar_shard import TarShard, segment_fields
from embedonce.cache.schema import FrameBatch
from embedonce.cache.stores.base import Store


class WebDatasetFormat(ShardFormat):
    """Shards that plain webdataset can read: <key>.emb.npy, <key>.jpg and <key>.json for each row."""

    name, suffix = "webdataset", ".tar"
    row_overhead_bytes = 4000  # headers and padding of three members

    def encode_frames(self, batch: FrameBatch) -> Encoded:
        tar, row = _TarBytes(), 0
        header = npy_header(batch.embeddings.shape[1:], batch.embeddings.dtype)
        for segment in batch.segments:
            shared = segment_fields(segment)
            rows = zip(segment.keys, segment.frame_index, segment.pts, segment.t_sec, strict=True)
            for key, frame_index, pts, t_sec in rows:
                fields = shared | {"frame_index": int(frame_index), "pts": int(pts), "t_sec": float(t_sec)}
                fields["crop_crc32"] = batch.crop_crc32[row].tolist()
                tar.add("emb", key, header + batch.embeddings[row].tobytes())
                tar.add("jpg", key, batch.jpegs[row])
                tar.add("json", key, json.dumps(fields, sort_keys=True).encode())
                row += 1
        return tar.finish()

    def encode_logits(self, keys: list[str], logits: np.ndarray) -> Encoded:
        tar, header = _TarBytes(), npy_header(logits.shape[1:], logits.dtype)
        for key, values in zip(keys, logits, strict=True):
            tar.add("logits", key, header + values.tobytes())
        return tar.finish()

    def encode_embeddings(self, keys: list[str], embeddings: np.ndarray, crop_crc32: np.ndarray) -> Encoded:
        tar = _TarBytes()
        headers = [npy_header(values.shape[1:], values.dtype) for values in (embeddings, crop_crc32)]
        for key, vectors, checksums in zip(keys, embeddings, crop_crc32, strict=True):
            tar.add("emb", key, headers[0] + vectors.tobytes())
            tar.add("crc", key, headers[1] + checksums.tobytes())
        return tar.finish()

    def open(self, store: Store, name: str, index: dict, shape: ShardShape) -> TarShard:
        return TarShard(store, name, index, shape)


class _TarBytes:
    """A tar growing in memory: regular files only, no dates or owners, so that equal rows give equal bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._num_bytes = 0
        self._headers: dict[str, list[int]] = {}  # by type of member: the bytes before the data of each row
        self._sizes: dict[str, list[int]] = {}

    def add(self, member_type: str, key: str, data: bytes) -> None:
        header = member_header(f"{key}.{EXTENSIONS[member_type]}", len(data))
        self._headers.setdefault(member_type, []).append(len(header))
        self._sizes.setdefault(member_type, []).append(len(data))
        self._append(header, data, bytes(-len(data) % BLOCK))

    def finish(self) -> Encoded:
        self._append(end_of_archive(self._num_bytes))
        return Encoded(b"".join(self._parts), index_of(self._headers, self._sizes))

    def _append(self, *parts: bytes) -> None:
        self._parts += parts
        self._num_bytes += sum(map(len, parts))
