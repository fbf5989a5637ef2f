"""Random access to the rows of an HDF5 shard that is not trusted.

Only datasets of the expected type, shape and storage are read; links, external and virtual storage are refused.
"""

import atexit
import os
import re
import weakref

import h5py
import numpy as np

from embedonce.cache.backends.shard_format import Shard, ShardShape, checked_embeddings, checked_logits
from embedonce.cache.collection import no_collection
from embedonce.cache.errors import CacheError, DamagedError, StorageError
from embedonce.cache.schema import Segment
from embedonce.cache.stores.base import Store
from embedonce.cache.stores.file_object import StoredFileIO

ROWS_PER_CHUNK = 32  # one view of 32 consecutive frames is one contiguous read (32 KiB at 512 dimensions)
KEY_TYPE = np.dtype("S128")
KEPT_BYTES = 1 << 18  # chunk cache of each open dataset; the library's default is 8 MiB
_OPEN: "weakref.WeakSet[Hdf5Shard]" = weakref.WeakSet()
_CHECKS = {"embeddings": checked_embeddings, "logits": checked_logits}


class Hdf5Shard(Shard):
    """An open HDF5 shard.

    Opened on first use, so that it can be sent to a worker process, and again in each process: HDF5 handles do not
    survive a fork.
    """

    def __init__(self, store: Store, name: str, shape: ShardShape):
        self._store, self._name, self._shape = store, name, shape
        self.location = store.location(name)
        self._forget()

    def _forget(self) -> None:
        self._file: h5py.File | None = None
        self._source: _LibraryFile | None = None
        self._process: int | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._offsets: np.ndarray | None = None
        self._chunk: np.ndarray | None = None
        self._chunk_id: tuple[str, int, int] | None = None

    def keys(self) -> list[str]:
        return [key.decode("ascii", "replace") for key in self._read("key", slice(None))]

    def jpeg(self, row: int) -> bytes:
        if self._offsets is None:
            end = len(self._dataset("jpeg"))
            self._offsets = _checked_offsets(self._read("jpeg_offset", slice(None)), end, self.location)
        return self._read("jpeg", slice(self._offsets[row], self._offsets[row + 1])).tobytes()

    def embeddings(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._rows("embeddings", start, stop, view)

    def logits(self, start: int, stop: int, view: int) -> np.ndarray:
        return self._rows("logits", start, stop, view)

    def columns(self) -> dict[str, np.ndarray]:
        return {name: self._read(name, slice(None)) for name in ("frame_index", "pts", "crop_crc32")}

    def crop_crc32(self) -> np.ndarray:
        return self._read("crop_crc32", slice(None))

    def first_contradiction(self, segments: tuple[Segment, ...]) -> str | None:
        for name, values in segment_columns(segments).items():
            if not np.array_equal(self._read(name, slice(None)), values):
                return name
        return None

    def close(self) -> None:
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        if self._source is not None:
            self._source.close()
        self._forget()

    def __getstate__(self) -> dict:
        return Hdf5Shard(self._store, self._name, self._shape).__dict__

    def _rows(self, name: str, start: int, stop: int, view: int) -> np.ndarray:
        """Rows of one view. HDF5 reads and checks whole chunks, so the last chunk is kept for its other rows."""
        first = start - start % ROWS_PER_CHUNK
        if stop > first + ROWS_PER_CHUNK:
            return self._values(name, slice(start, stop), view)
        if self._chunk is None or self._chunk_id != (name, first, view):
            self._chunk = self._values(name, slice(first, first + ROWS_PER_CHUNK), view)
            self._chunk_id = (name, first, view)
        return self._chunk[start - first : stop - first].copy()

    def _values(self, name: str, rows: slice, view: int) -> np.ndarray:
        return _CHECKS[name](self._read(name, (rows, view)), self.location)

    def _read(self, name: str, selection) -> np.ndarray:
        dataset = self._dataset(name)
        try:
            with no_collection():
                values = dataset[selection]
        except OSError as error:  # for example the checksum of a chunk: damaged since the file was verified
            raise self._explained(error, "is damaged") from error
        self._raise_read_error()
        return values

    def _dataset(self, name: str) -> h5py.Dataset:
        if self._process != os.getpid():
            self._forget()
            self._process = os.getpid()
        if name not in self._datasets:
            try:
                with no_collection():
                    self._datasets[name] = _checked_dataset(self._opened(), name, self._shape, self.location)
            except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
                raise self._explained(error, "is not a readable HDF5 shard") from error
            self._raise_read_error()
        return self._datasets[name]

    def _opened(self) -> h5py.File:
        if self._file is None:
            self._source = _LibraryFile(self._store.open(self._name))
            _OPEN.add(self)
            self._file = _open_file(self._source)
        return self._file

    def _raise_read_error(self) -> None:
        """Raise the first error of reading the file, if any, and close it: what the library has read may be wrong."""
        error = None if self._source is None else self._source.error
        if error is not None:
            self.close()
            raise error

    def _explained(self, error: Exception, problem: str) -> CacheError:
        """The error to raise for one of the HDF5 library: the error of the read that it comes from, if there was one.

        StorageError if the operating system refused, since the file may be sound; otherwise DamagedError. The library
        writes the errno of a failed system call into its text.
        """
        if isinstance(error, CacheError):
            return error
        self._raise_read_error()
        match = re.search(r"errno = (\d+)", str(error))
        code = int(match[1]) if match else getattr(error, "errno", None)
        if code:
            return StorageError(f"{self.location} cannot be read: {os.strerror(code)}")
        return DamagedError(f"{self.location} {problem}: {error}")


# What of the library still refers to a Python file object after the interpreter has ended crashes the process. So files
# are closed at exit, and the property list of opening a file, which a traceback would keep alive, is closed at once.


@atexit.register
def _close_all() -> None:
    for shard in list(_OPEN):
        shard.close()


def _open_file(source: "_LibraryFile") -> h5py.File:
    properties = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    try:
        properties.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
        properties.set_cache(*properties.get_cache()[:2], KEPT_BYTES, properties.get_cache()[3])
        properties.set_fileobj_driver(h5py.h5fd.fileobj_driver, source)
        file_id = h5py.h5f.open(b"shard", h5py.h5f.ACC_RDONLY, fapl=properties)
    finally:
        properties.close()
    try:
        return h5py.File(file_id)
    except OSError:
        file_id.close()
        raise


class _LibraryFile(StoredFileIO):
    """A stored file as the HDF5 library reads it.

    An exception must not pass through the library, and it ignores how many bytes were read. So the first error is kept,
    and zeros take the place of bytes that could not be read.
    """

    error: CacheError | None = None

    def readinto(self, buffer) -> int:
        try:
            num_bytes = super().readinto(buffer)
        except CacheError as error:
            self.error = self.error or error
            num_bytes = 0
        buffer[num_bytes:] = bytes(len(buffer) - num_bytes)
        return num_bytes


def segment_columns(segments: tuple[Segment, ...]) -> dict[str, np.ndarray]:
    """The datasets of a frame shard that follow from its segments alone."""
    return {
        "video": np.repeat(np.arange(len(segments), dtype=np.int32), [s.num_rows for s in segments]),
        "frame_index": _concatenated([s.frame_index for s in segments], np.int64),
        "pts": _concatenated([s.pts for s in segments], np.int64),
        "t_sec": _concatenated([s.t_sec for s in segments], np.float64),
        "video_uid": np.array([s.video_uid for s in segments], KEY_TYPE),
        "time_base": np.array([s.time_base for s in segments], np.int64).reshape(-1, 2),
        "views": np.array([s.views for s in segments], np.int32).reshape(len(segments), -1, 6),
    }


def _concatenated(parts: list[np.ndarray], dtype) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype) for part in parts]) if parts else np.zeros(0, dtype)


def _checked_dataset(file: h5py.File, name: str, shape: ShardShape, location: str) -> h5py.Dataset:
    """A dataset that is stored in this file, in the way of this format, and has the expected size."""
    link = file.get(name, getlink=True)
    if type(link) is not h5py.HardLink or file.get(name, getclass=True) is not h5py.Dataset:
        raise DamagedError(f"{location} has no dataset {name!r} of its own; links are not followed")
    dataset = file[name]
    if dataset.is_virtual or dataset.external is not None:  # before anything else: even its shape may open other files
        raise DamagedError(f"{location} stores {name!r} outside of the file, which is not allowed")
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
        raise DamagedError(f"{location} has {name!r} as {dataset.shape} {dataset.dtype}, which contradicts its record")
    filters = dataset.compression or dataset.scaleoffset is not None or dataset.shuffle
    if filters or any(chunk > side for chunk, side in zip(dataset.chunks or (), dataset.shape, strict=False)):
        raise DamagedError(f"{location} stores {name!r} with filters or chunks that this format does not use")
    return dataset


def _checked_offsets(offsets: np.ndarray, end: int, location: str) -> np.ndarray:
    if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) <= 0).any():
        raise DamagedError(f"{location} has offsets that do not match its JPEGs")
    return offsets
