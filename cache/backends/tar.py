"""The WebDataset back end: shards as tar files in memory, and random access to their members.

Tars are written by the standard library, so that the cache never loads torch (which webdataset imports);
plain webdataset reads them. Knows nothing of folders, records or commits; layout in docs/cache-format.md.
"""

import io
import json
import os
import tarfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from embedonce.cache import documents, strict_json
from embedonce.cache.errors import DamagedError
from embedonce.cache.files import read_error
from embedonce.cache.schema import Encoded, FrameBatch, Segment, ShardShape
from embedonce.cache.vectors import embeddings_problem, logits_problem

SUFFIX = ".tar"
EXTENSIONS = {"emb": "emb.npy", "jpg": "jpg", "json": "json", "logits": "logits.npy"}  # kind -> of a member's name
COLUMNS = ({"emb", "jpg", "json"}, {"logits"})  # the kinds of members that a row has: of frames, of logits
BLOCK = tarfile.BLOCKSIZE
MAX_FACTS_BYTES = 1 << 20  # of a row's JSON: a thousand views take 30 kB


def encode_frames(batch: FrameBatch) -> Encoded:
    """A FrameBatch as the bytes of a tar: <key>.emb.npy, <key>.jpg and <key>.json for each row."""
    tar, row = _TarBytes(), 0
    npy_head = _npy_head(batch.embeddings.shape[1:], batch.embeddings.dtype)
    for segment in batch.segments:
        shared = _shared(segment)
        rows = zip(segment.keys, segment.frame_index, segment.pts, segment.t_sec, strict=True)
        for key, frame_index, pts, t_sec in rows:
            facts = shared | {"frame_index": int(frame_index), "pts": int(pts), "t_sec": float(t_sec)}
            facts["crop_crc32"] = batch.crop_crc32[row].tolist()
            tar.add("emb", key, npy_head + batch.embeddings[row].tobytes())
            tar.add("jpg", key, batch.jpegs[row])
            tar.add("json", key, json.dumps(facts, sort_keys=True).encode())
            row += 1
    return tar.finish()


def encode_logits(keys: list[str], logits: np.ndarray) -> Encoded:
    """Keys and (N, 1+K, C) float32 logits as the bytes of a tar: <key>.logits.npy for each row."""
    tar, npy_head = _TarBytes(), _npy_head(logits.shape[1:], logits.dtype)
    for key, values in zip(keys, logits, strict=True):
        tar.add("logits", key, npy_head + values.tobytes())
    return tar.finish()


def _shared(segment: Segment) -> dict:
    """What all rows of a segment say."""
    return {
        "video_uid": segment.video_uid,
        "time_base": list(segment.time_base),
        "views": segment.views.tolist(),
    }


class TarShard:
    """A tar shard, read at the member offsets its record holds. Opened on first use.

    Where those offsets could lead out of the file, or members are not as long as shape says, it is refused.
    """

    def __init__(self, path: Path, index: dict, shape: ShardShape):
        self._path, self._shape = path, shape
        self._members = _checked_members(index, shape, path)
        self._handle = None

    def keys(self) -> list[str]:
        with tarfile.open(self._path, mode="r:") as tar:
            return list(dict.fromkeys(name.partition(".")[0] for name in tar.getnames()))

    def check(self, keys: list[str]) -> None:
        """DamagedError where the tar is not, header by header, one of exactly these rows: no member more, none less."""
        at = 0
        for row, key in enumerate(keys):
            for kind, places in self._members.items():
                offset, size = places[row]
                header = _header(f"{key}.{EXTENSIONS[kind]}", size)
                if offset != at + len(header) or self._read(at, len(header)) != header:
                    raise DamagedError(f"{self._path} does not have {key}.{EXTENSIONS[kind]} where its record says")
                at = offset + size + -size % BLOCK
        if self._read(at, self._shape.num_bytes - at) != _end(at):
            raise DamagedError(f"{self._path} goes on after the last row of its record")

    def jpeg(self, row: int) -> bytes:
        return self._member("jpg", row)

    def embeddings(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._arrays("emb", np.float16, range(start, stop), view)

    def columns(self) -> dict[str, np.ndarray]:
        shapes = {"frame_index": (-1,), "pts": (-1,), "crop_crc32": (-1, self._shape.num_views)}
        with documents.as_damaged_error(str(self._path)):
            found: dict[str, list] = {name: [] for name in shapes}
            for facts in map(self._facts, range(self._shape.num_rows)):
                for name, values in found.items():
                    values.append(facts[name])
            types = {"crop_crc32": np.uint32}
            return {
                name: documents.integers(values, types.get(name, np.int64)).reshape(shapes[name])
                for name, values in found.items()
            }

    def contradicted(self, segments: tuple[Segment, ...]) -> str | None:
        """The first thing that a row says of itself and that is not what these segments say; None where all are."""
        row = 0
        with documents.as_damaged_error(str(self._path)):
            for segment in segments:
                shared = _shared(segment)
                for frame_index, pts, t_sec in zip(segment.frame_index, segment.pts, segment.t_sec, strict=True):
                    expected = shared | {"frame_index": int(frame_index), "pts": int(pts), "t_sec": float(t_sec)}
                    facts = self._facts(row)
                    if facts.keys() != expected.keys() | {"crop_crc32"}:
                        return "facts"
                    for name, value in expected.items():
                        if facts[name] != value:
                            return name
                    row += 1
        return None

    def _facts(self, row: int) -> dict:
        """What the JSON member of a row says."""
        data = self._member("json", row)
        if len(data) > MAX_FACTS_BYTES:
            raise ValueError(f"what it says of row {row} has {len(data)} bytes")
        return strict_json.loads(data)

    def logits(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._arrays("logits", np.float32, range(start, stop), view)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __getstate__(self):
        return {**self.__dict__, "_handle": None}

    def __del__(self):
        if hasattr(self, "_handle"):
            self.close()

    def _member(self, kind: str, row: int) -> bytes:
        if kind not in self._members:
            raise DamagedError(f"{self._path} has no {kind} members: it belongs to another column")
        return self._read(*self._members[kind][row])

    def _read(self, offset: int, size: int) -> bytes:
        try:
            if self._handle is None:
                self._handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            data = os.pread(self._handle, size, offset)
        except OSError as error:
            raise read_error(self._path, error) from error
        if len(data) != size:
            raise DamagedError(f"{self._path} ends inside a member: {len(data)} of {size} bytes at {offset}")
        return data

    def _arrays(self, kind: str, dtype, rows: range, view: int) -> np.ndarray:
        """(len(rows), width) of one view. The member is the array's header, always the same, and its values."""
        shape, width = (self._shape.num_views, self._shape.width), self._shape.width
        head, view_bytes = _npy_head(shape, dtype), width * np.dtype(dtype).itemsize
        num_bytes = len(head) + shape[0] * view_bytes
        found = np.empty((len(rows), width), dtype)
        for i, row in enumerate(rows):
            data = self._member(kind, row)
            if len(data) != num_bytes or not data.startswith(head):
                raise DamagedError(f"{self._path}, row {row}, holds no array of the shape that its record says")
            found[i] = np.frombuffer(data, dtype, width, len(head) + view * view_bytes)
        if problem := _PROBLEMS[kind](found):
            raise DamagedError(f"{self._path} holds {problem}")
        return found


_PROBLEMS = {"emb": embeddings_problem, "logits": logits_problem}


def _checked_members(index: dict, shape: ShardShape, path: Path) -> dict[str, list[tuple[int, int]]]:
    """kind -> (offset, size) by row; DamagedError where they are not whole members inside the file."""
    members = index.get("members")
    if not isinstance(members, dict) or set(members) not in COLUMNS:
        raise DamagedError(f"the record of {path} does not say where its members lie")
    checked = {}
    for kind in (kind for kind in EXTENSIONS if kind in members):  # in the order of a row's members
        places = members[kind]
        table = np.array(places, dtype=object)
        if table.shape != (shape.num_rows, 2) or not all(type(number) is int for number in table.flat):
            raise DamagedError(f"the record of {path} does not say where each {kind} lies")
        checked[kind] = [(offset, size) for offset, size in places]
        if any(offset < BLOCK or size < 0 or offset + size > shape.num_bytes for offset, size in checked[kind]):
            raise DamagedError(f"the record of {path} places a {kind} outside of the file")
    return checked


class _TarBytes:
    """A tar growing in memory: regular files only, no dates or owners, so that equal rows give equal bytes."""

    def __init__(self):
        self._parts: list[bytes] = []
        self._num_bytes = 0
        self._members: dict[str, list[list[int]]] = {}

    def add(self, kind: str, key: str, data: bytes) -> None:
        header = _header(f"{key}.{EXTENSIONS[kind]}", len(data))
        self._members.setdefault(kind, []).append([self._num_bytes + len(header), len(data)])
        self._append(header, data, bytes(-len(data) % BLOCK))

    def finish(self) -> Encoded:
        self._append(_end(self._num_bytes))
        return Encoded(b"".join(self._parts), {"members": self._members})

    def _append(self, *parts: bytes) -> None:
        self._parts += parts
        self._num_bytes += sum(map(len, parts))


def _end(num_bytes: int) -> bytes:
    """What follows the last member of a tar that is this long so far: two empty blocks, and more to fill a record."""
    return bytes(2 * BLOCK + -(num_bytes + 2 * BLOCK) % tarfile.RECORDSIZE)


def _header(name: str, size: int) -> bytes:
    """The blocks before the data of a member: byte for byte the standard library's, in a tenth of the time."""
    if len(name) > tarfile.LENGTH_NAME:
        return _tar_header(name, size)
    text, digits = name.encode("ascii"), b"%011o" % size
    checksum = b"%06o" % (_BLANK_SUM + sum(text) + sum(digits))
    return b"".join((text, _BLANK[len(text) : 124], digits, _BLANK[135:148], checksum, _BLANK[154:]))


def _tar_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o444
    return info.tobuf(tarfile.GNU_FORMAT)


_BLANK = _tar_header("", 0)  # name at 0, size at 124 as eleven octal digits, checksum at 148 as six
_BLANK_SUM = int(_BLANK[148:154], 8) - sum(b"0" * 11)


@lru_cache
def _npy_head(shape: tuple[int, ...], dtype) -> bytes:
    """What a .npy file of this shape has before its values, which are in C order."""
    buffer, descr = io.BytesIO(), np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()
