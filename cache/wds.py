"""The WebDataset back end: shards as tar files in memory, and random access to their members.

Tars are written by the standard library, so that the cache never loads torch (which webdataset imports);
plain webdataset reads them. Knows nothing of folders, records or commits; layout in docs/cache-format.md.
"""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np

from cache.errors import DamagedError
from cache.schema import Encoded, FrameBatch

SUFFIX = ".tar"


def encode_frames(batch: FrameBatch) -> Encoded:
    """A FrameBatch as the bytes of a tar: <key>.emb.npy, <key>.jpg and <key>.json for each row."""
    tar, row = _TarBytes(), 0
    for segment in batch.segments:
        shared = {
            "video_uid": segment.video_uid,
            "time_base": list(segment.time_base),
            "views": segment.views.tolist(),
        }
        rows = zip(segment.keys, segment.frame_index, segment.pts, segment.t_sec, strict=True)
        for key, frame_index, pts, t_sec in rows:
            facts = shared | {"frame_index": int(frame_index), "pts": int(pts), "t_sec": float(t_sec)}
            tar.add("emb", f"{key}.emb.npy", _npy(batch.embeddings[row]))
            tar.add("jpg", f"{key}.jpg", batch.jpegs[row])
            tar.add("json", f"{key}.json", json.dumps(facts, sort_keys=True).encode())
            row += 1
    return tar.finish()


def encode_logits(keys: list[str], logits: np.ndarray) -> Encoded:
    """Keys and (N, 1+K, C) float32 logits as the bytes of a tar: <key>.logits.npy for each row."""
    tar = _TarBytes()
    for key, values in zip(keys, logits, strict=True):
        tar.add("logits", f"{key}.logits.npy", _npy(values))
    return tar.finish()


class TarShard:
    """A tar shard, read at the member offsets its record holds. Opened on first use."""

    def __init__(self, path: Path, index: dict):
        self._path = path
        self._index = index
        self._handle = None

    def keys(self) -> list[str]:
        with tarfile.open(self._path, mode="r:") as tar:
            return list(dict.fromkeys(name.partition(".")[0] for name in tar.getnames()))

    def jpeg(self, row: int) -> bytes:
        return self._member("jpg", row)

    def embeddings(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._arrays("emb", start, stop, view)

    def logits(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._arrays("logits", start, stop, view)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __getstate__(self):
        return {"_path": self._path, "_index": self._index, "_handle": None}

    def __del__(self):
        self.close()

    def _member(self, kind: str, row: int) -> bytes:
        if self._handle is None:
            self._handle = os.open(self._path, os.O_RDONLY)
        offset, size = self._index["members"][kind][row]
        data = os.pread(self._handle, size, offset)
        if len(data) != size:
            raise DamagedError(f"{self._path} ends inside a member: {len(data)} of {size} bytes at {offset}")
        return data

    def _arrays(self, kind: str, start: int, stop: int, view: int) -> np.ndarray:
        rows = range(start, stop)
        return np.stack([np.load(io.BytesIO(self._member(kind, row)), allow_pickle=False)[view] for row in rows])


class _TarBytes:
    """A tar growing in memory: regular files only, no dates or owners, so that equal rows give equal bytes."""

    def __init__(self):
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.GNU_FORMAT)
        self._members: dict[str, list[list[int]]] = {}

    def add(self, kind: str, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o444
        self._tar.addfile(info, io.BytesIO(data))
        offset = self._buffer.tell() - len(data) - (-len(data) % tarfile.BLOCKSIZE)
        self._members.setdefault(kind, []).append([offset, len(data)])

    def finish(self) -> Encoded:
        self._tar.close()
        return Encoded(self._buffer.getvalue(), {"members": self._members})


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()
