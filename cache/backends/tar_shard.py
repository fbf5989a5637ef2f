"""Random access to the rows of a tar shard that is not trusted, at the offsets that follow from its record."""

import math
import tarfile

import numpy as np

from embedonce.cache import documents, strict_json
from embedonce.cache.backends.shard_format import Shard, ShardShape, checked_embeddings, checked_logits
from embedonce.cache.backends.tar_index import places_from
from embedonce.cache.backends.tar_layout import BLOCK, EXTENSIONS, end_of_archive, member_header, npy_header
from embedonce.cache.errors import DamagedError
from embedonce.cache.schema import Segment
from embedonce.cache.stores.base import Store, StoredFile
from embedonce.cache.stores.file_object import StoredFileIO

MAX_JSON_BYTES = 1 << 20  # of a row's JSON member: a thousand views take 30 kB


def segment_fields(segment: Segment) -> dict:
    """The fields that are equal in the JSON members of all rows of a segment."""
    return {
        "video_uid": segment.video_uid,
        "time_base": list(segment.time_base),
        "views": segment.views.tolist(),
    }


class TarShard(Shard):
    """An open tar shard. Opened on first use.

    Refused if its recorded offsets lead out of the file, or its members do not have the expected length.
    """

    def __init__(self, store: Store, name: str, index: dict, shape: ShardShape):
        self._store, self._name, self._shape = store, name, shape
        self.location = store.location(name)
        self._members = places_from(index, shape, self.location)
        self._file: StoredFile | None = None

    def keys(self) -> list[str]:
        with StoredFileIO(self._store.open(self._name)) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            return list(dict.fromkeys(name.partition(".")[0] for name in tar.getnames()))

    def check(self, keys: list[str]) -> None:
        """DamagedError unless the tar has, header by header, exactly the members of these rows."""
        if len(keys) != self._shape.num_rows:
            raise DamagedError(f"{self.location} has {self._shape.num_rows} rows, not {len(keys)}")
        position = 0
        for row, key in enumerate(keys):
            for member_type, places in self._members.items():
                offset, size = places[row].tolist()
                name = f"{key}.{EXTENSIONS[member_type]}"
                header = member_header(name, size)
                if offset != position + len(header) or self._read(position, len(header)) != header:
                    raise DamagedError(f"{self.location} does not have {name} at its recorded offset")
                position = offset + size + -size % BLOCK
        if self._read(position, self._shape.num_bytes - position) != end_of_archive(position):
            raise DamagedError(f"{self.location} goes on after the last row of its record")

    def jpeg(self, row: int) -> bytes:
        return self._member("jpg", row)

    def embeddings(self, start: int, stop: int, view: int) -> np.ndarray:
        return checked_embeddings(self._arrays("emb", np.float16, range(start, stop), view), self.location)

    def logits(self, start: int, stop: int, view: int) -> np.ndarray:
        return checked_logits(self._arrays("logits", np.float32, range(start, stop), view), self.location)

    def columns(self) -> dict[str, np.ndarray]:
        shapes = {"frame_index": (-1,), "pts": (-1,), "crop_crc32": (-1, self._shape.num_views)}
        types = {"frame_index": np.int64, "pts": np.int64, "crop_crc32": np.uint32}
        with documents.as_damaged_error(self.location):
            columns: dict[str, list] = {name: [] for name in shapes}
            for fields in map(self._fields, range(self._shape.num_rows)):
                for name, values in columns.items():
                    values.append(fields[name])
            return {
                name: documents.integers(values, types[name]).reshape(shapes[name]) for name, values in columns.items()
            }

    def crop_crc32(self) -> np.ndarray:
        if "crc" not in self._members:
            return self.columns()["crop_crc32"]
        rows = range(self._shape.num_rows)
        return np.array([self._array("crc", row, (self._shape.num_views,), np.uint32) for row in rows])

    def first_contradiction(self, segments: tuple[Segment, ...]) -> str | None:
        row = 0
        with documents.as_damaged_error(self.location):
            for segment in segments:
                shared = segment_fields(segment)
                for frame_index, pts, t_sec in zip(segment.frame_index, segment.pts, segment.t_sec, strict=True):
                    expected = shared | {"frame_index": int(frame_index), "pts": int(pts), "t_sec": float(t_sec)}
                    if name := _first_difference(self._fields(row), expected):
                        return name
                    row += 1
        return None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}

    def _fields(self, row: int) -> dict:
        """The JSON member of a row."""
        data = self._member("json", row)
        if len(data) > MAX_JSON_BYTES:
            raise ValueError(f"the JSON of row {row} has {len(data)} bytes; at most {MAX_JSON_BYTES} are allowed")
        return strict_json.loads(data)

    def _member(self, member_type: str, row: int) -> bytes:
        if member_type not in self._members:
            raise DamagedError(f"{self.location} has no {member_type} members: it belongs to another column")
        return self._read(*self._members[member_type][row].tolist())

    def _read(self, offset: int, size: int) -> bytes:
        if self._file is None:
            self._file = self._store.open(self._name)
        return self._file.read_at(offset, size)

    def _arrays(self, member_type: str, dtype, rows: range, view: int) -> np.ndarray:
        """(len(rows), width) of one view. A member is an array's header, the same for all rows, and its values."""
        shape = (self._shape.num_views, self._shape.width)
        values = np.empty((len(rows), self._shape.width), dtype)
        for i, row in enumerate(rows):
            values[i] = self._array(member_type, row, shape, dtype)[view]
        return values

    def _array(self, member_type: str, row: int, shape: tuple[int, ...], dtype) -> np.ndarray:
        """The array in a member, which has this shape and type in all rows."""
        data, header = self._member(member_type, row), npy_header(shape, dtype)
        num_bytes = len(header) + math.prod(shape) * np.dtype(dtype).itemsize
        if len(data) != num_bytes or not data.startswith(header):
            raise DamagedError(f"{self.location}, row {row}: not an array of {shape} {np.dtype(dtype)}")
        return np.frombuffer(data, dtype, offset=len(header)).reshape(shape)


def _first_difference(fields: dict, expected: dict) -> str | None:
    """The name of the first field of a row that is not as expected; None if all are."""
    if fields.keys() != expected.keys() | {"crop_crc32"}:
        return "fields"
    return next((name for name, value in expected.items() if fields[name] != value), None)
