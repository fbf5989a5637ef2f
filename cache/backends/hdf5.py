"""The HDF5 back end: shards as HDF5 images in memory, and random access to their rows.

The only importer of h5py. Knows nothing of folders, records or commits; layout in docs/cache-format.md.
"""

import io
import os
import re
from pathlib import Path

import h5py
import numpy as np

from embedonce.cache.errors import DamagedError
from embedonce.cache.files import read_error
from embedonce.cache.schema import FORMAT_VERSION, Encoded, FrameBatch, Segment, ShardShape
from embedonce.cache.vectors import embeddings_problem, logits_problem

SUFFIX = ".h5"
ROWS_PER_CHUNK = 32  # one view of 32 consecutive frames is one contiguous read (32 KiB at 512 dimensions)
BYTES_PER_CHUNK = 1 << 16  # about a JPEG: a row read at random costs two chunks, and reading in order hardly more
KEY_TYPE = np.dtype("S128")
KEPT_BYTES = 4 * BYTES_PER_CHUNK  # of each open dataset's chunks; left to itself, HDF5 keeps 8 MiB


def encode_frames(batch: FrameBatch) -> Encoded:
    """A FrameBatch as the bytes of an HDF5 file."""
    columns = _described(batch.segments)
    offsets = np.cumsum([0, *map(len, batch.jpegs)], dtype=np.int64)
    arrays = {
        "key": np.array(batch.keys, KEY_TYPE),
        **{name: columns[name] for name in ("video", "frame_index", "pts", "t_sec")},
        "jpeg": np.frombuffer(b"".join(batch.jpegs), np.uint8),
        "jpeg_offset": offsets,
        "embeddings": batch.embeddings,
        "crop_crc32": batch.crop_crc32,
        **{name: columns[name] for name in ("video_uid", "time_base", "views")},
    }
    return Encoded(_file_image(arrays, "frames"), {})


def _described(segments: tuple[Segment, ...]) -> dict[str, np.ndarray]:
    """The columns that follow from the segments alone."""
    return {
        "video": np.repeat(np.arange(len(segments), dtype=np.int32), [s.num_rows for s in segments]),
        "frame_index": _joined([s.frame_index for s in segments], np.int64),
        "pts": _joined([s.pts for s in segments], np.int64),
        "t_sec": _joined([s.t_sec for s in segments], np.float64),
        "video_uid": np.array([s.video_uid for s in segments], KEY_TYPE),
        "time_base": np.array([s.time_base for s in segments], np.int64).reshape(-1, 2),
        "views": np.array([s.views for s in segments], np.int32).reshape(len(segments), -1, 6),
    }


def encode_logits(keys: list[str], logits: np.ndarray) -> Encoded:
    """Keys and (N, 1+K, C) float32 logits as the bytes of an HDF5 file."""
    return Encoded(_file_image({"key": np.array(keys, KEY_TYPE), "logits": logits}, "logits"), {})


class Hdf5Shard:
    """An open HDF5 shard, of frames or of logits.

    Opened on first use, so that it may be sent to a worker, and again in each process: HDF5 handles do not survive a
    fork. A dataset that is not what shape says, or could lead anywhere else, is refused before anything is read.
    """

    def __init__(self, path: Path, index: dict, shape: ShardShape):
        self._path, self._shape = path, shape
        self._file, self._process = None, None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._offsets = None
        self._held, self._held_from = None, None

    def keys(self) -> list[str]:
        return [key.decode("ascii", "replace") for key in self._read("key", slice(None))]

    def check(self, keys: list[str]) -> None:
        if self.keys() != keys:
            raise DamagedError(f"{self._path} holds other rows than its record says")

    def jpeg(self, row: int) -> bytes:
        if self._offsets is None:
            end = len(self._dataset("jpeg"))
            self._offsets = _checked_offsets(self._read("jpeg_offset", slice(None)), end, self._path)
        return self._read("jpeg", slice(self._offsets[row], self._offsets[row + 1])).tobytes()

    def embeddings(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._rows("embeddings", start, stop, view)

    def columns(self) -> dict[str, np.ndarray]:
        return {name: self._read(name, slice(None)) for name in ("frame_index", "pts", "crop_crc32")}

    def contradicted(self, segments: tuple[Segment, ...]) -> str | None:
        """The first column that is not what these segments say; None where all are."""
        for name, values in _described(segments).items():
            if not np.array_equal(self._read(name, slice(None)), values):
                return name
        return None

    def logits(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._rows("logits", start, stop, view)

    def close(self) -> None:
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self.__init__(self._path, {}, self._shape)

    def __getstate__(self):
        return Hdf5Shard(self._path, {}, self._shape).__dict__

    def _rows(self, name: str, start: int, stop: int, view: int) -> np.ndarray:
        """Rows of one view. The chunk that they lie in was read and checked whole: it is held for its other rows."""
        first = start - start % ROWS_PER_CHUNK
        if stop > first + ROWS_PER_CHUNK:
            return self._values(name, slice(start, stop), view)
        if self._held_from != (name, first, view):
            self._held = self._values(name, slice(first, first + ROWS_PER_CHUNK), view)
            self._held_from = (name, first, view)
        return self._held[start - first : stop - first].copy()

    def _values(self, name: str, rows: slice, view: int) -> np.ndarray:
        """Rows of one view, which are what they must be."""
        values = self._read(name, (rows, view))
        if problem := _PROBLEMS[name](values):
            raise DamagedError(f"{self._path} holds {problem}")
        return values

    def _read(self, name: str, selection) -> np.ndarray:
        dataset = self._dataset(name)
        try:
            return dataset[selection]
        except OSError as error:  # a chunk's own checksum: damaged since the file was verified
            raise _library_error(self._path, error, "is damaged") from error

    def _dataset(self, name: str) -> h5py.Dataset:
        if self._process != os.getpid():
            self._file, self._process, self._datasets = None, os.getpid(), {}
        if name not in self._datasets:
            try:
                self._file = self._file or h5py.File(self._path, "r", rdcc_nbytes=KEPT_BYTES, locking=False)
                self._datasets[name] = _checked_dataset(self._file, name, self._shape, self._path)
            except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
                raise _library_error(self._path, error, "is not a readable HDF5 shard") from error
        return self._datasets[name]


_PROBLEMS = {"embeddings": embeddings_problem, "logits": logits_problem}


def _library_error(path: Path, error: Exception, what: str) -> Exception:
    """What to raise for an error of the HDF5 library, which writes the errno of a failed system call into its text.

    StorageError where the operating system refused (the file may be whole), else DamagedError.
    """
    found = re.search(r"errno = (\d+)", str(error))
    code = int(found[1]) if found else getattr(error, "errno", None)
    if code:
        return read_error(path, OSError(code, os.strerror(code)))
    return DamagedError(f"{path} {what}: {error}")


def _checked_dataset(file: h5py.File, name: str, shape: ShardShape, path: Path) -> h5py.Dataset:
    """A dataset that is stored in this very file, as this format stores it, and is as large as it must be."""
    link = file.get(name, getlink=True)
    if type(link) is not h5py.HardLink or file.get(name, getclass=True) is not h5py.Dataset:
        raise DamagedError(f"{path} has no dataset {name!r} of its own: links are not followed")
    dataset = file[name]
    if dataset.is_virtual or dataset.external is not None:  # asked first: even its shape may open other files
        raise DamagedError(f"{path} keeps {name!r} outside of itself; nothing there is read")
    rows, views, width = shape.num_rows, shape.num_views, shape.width
    videos = len(dataset) if dataset.shape else 0
    expected_type, expected_shape = {
        "key": (KEY_TYPE, (rows,)),
        "frame_index": (np.int64, (rows,)),
        "pts": (np.int64, (rows,)),
        "video": (np.int32, (rows,)),
        "t_sec": (np.float64, (rows,)),
        "video_uid": (KEY_TYPE, (videos,)),
        "time_base": (np.int64, (videos, 2)),
        "views": (np.int32, (videos, views, 6)),
        "jpeg": (np.uint8, (dataset.size,)),
        "jpeg_offset": (np.int64, (rows + 1,)),
        "embeddings": (np.float16, (rows, views, width)),
        "crop_crc32": (np.uint32, (rows, views)),
        "logits": (np.float32, (rows, views, width)),
    }[name]
    if dataset.dtype != expected_type or dataset.shape != expected_shape or dataset.nbytes > shape.num_bytes:
        raise DamagedError(f"{path} has {name!r} as {dataset.shape} {dataset.dtype}, which its record does not allow")
    filters = dataset.compression or dataset.scaleoffset is not None or dataset.shuffle
    if filters or any(chunk > side for chunk, side in zip(dataset.chunks or (), dataset.shape, strict=False)):
        raise DamagedError(f"{path} stores {name!r} in a way that this format does not use")
    return dataset


def _checked_offsets(offsets: np.ndarray, end: int, path: Path) -> np.ndarray:
    if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) <= 0).any():
        raise DamagedError(f"{path} has offsets that do not fit its JPEGs")
    return offsets


def _joined(parts: list[np.ndarray], dtype) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype) for part in parts]) if parts else np.zeros(0, dtype)


def _file_image(arrays: dict[str, np.ndarray], kind: str) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110"), rdcc_nbytes=KEPT_BYTES) as file:
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
