"""The stored frames of a unit as an added teacher sees them: decoded and cropped in threads, a few rows ahead."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from embedonce.cache.added_teachers.documents import seen_views
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.windows import RowWindow, row_windows

MAX_BYTES_AHEAD = 256 << 20  # of crops that wait for the teacher, besides those of its batches


@dataclass(frozen=True)
class StoredRows:
    """Rows of a unit that have one embedding: a single one, or those that a window stands for.

    key: of the first. crops: what the teacher sees of each stored view, (1+K, S, S, 3) uint8, or (1+K, T, S, S, 3) of a
    window. crop_crc32: (n, 1+K) uint32, of the crops of each row itself.
    """

    key: str
    crops: np.ndarray
    crop_crc32: np.ndarray


def stored_rows(
    reader: CacheReader, unit: str, teacher: TeacherIdentity, pool: ThreadPoolExecutor
) -> Iterator[StoredRows]:
    """The rows of a unit in order. DamagedError if its shard is damaged, or a frame cannot be decoded."""
    record = reader.records[unit]
    if not record.num_rows:
        return
    keys = record.keys
    cropped = _CroppedRows(reader, unit, teacher, pool)
    for window in windows_of(reader, unit, teacher):
        cropped.move_to(window)
        checksums = np.stack([cropped.crc32(row) for row in window.rows])
        yield StoredRows(keys[window.rows.start], _seen(window, cropped.crops, teacher), checksums)


class _OfWindows(Protocol):
    """A TeacherIdentity, or what is known of one."""

    @property
    def window(self) -> int: ...

    @property
    def window_stride(self) -> int: ...


def windows_of(reader: CacheReader, unit: str, teacher: _OfWindows) -> Iterator[RowWindow]:
    """What the embeddings of a unit are computed from, in order; a window of one row for teachers of single frames."""
    return row_windows(reader.records[unit].segments, teacher.window, teacher.window_stride)


def window_of_row(reader: CacheReader, unit: str, row: int, teacher: TeacherIdentity) -> np.ndarray:
    """The crops that a row's embedding is computed from; see StoredRows."""
    found = next(one for one in windows_of(reader, unit, teacher) if row in one.rows)
    shard, views = reader.frames(unit), seen_views(reader.views_of(unit, row), teacher)
    return _seen(found, lambda frame: canonical_frame.replay(shard.jpeg(frame), views, teacher.input_size), teacher)


def _seen(window: RowWindow, crops_of: Callable[[int], np.ndarray], teacher: TeacherIdentity) -> np.ndarray:
    """What the teacher sees of a window, or of the only row of one. crops_of: row -> (1+K, S, S, 3) uint8."""
    frames = [crops_of(row) for row in window.frames.tolist()]
    return frames[0] if teacher.window == 1 else np.stack(frames, axis=1)


class _CroppedRows:
    """The crops of the rows of a unit that are needed now, and of some further ones that are decoded meanwhile."""

    def __init__(self, reader: CacheReader, unit: str, teacher: TeacherIdentity, pool: ThreadPoolExecutor):
        record = reader.records[unit]
        self._shard, self._pool, self._size = reader.frames(unit), pool, teacher.input_size
        self._views = [seen_views(one.views, teacher) for one in record.segments for _ in range(one.num_rows)]
        self._begun: dict[int, Future[tuple[np.ndarray, np.ndarray]]] = {}  # crops and their checksums
        self._next = 0  # the first row that is not begun
        crop_bytes = 3 * teacher.input_size**2 * (1 + reader.identity.num_views)
        self._num_ahead = max(1, MAX_BYTES_AHEAD // crop_bytes)

    def move_to(self, window: RowWindow) -> None:
        """Forget the rows before a window, and begin to decode its rows and some behind them."""
        for row in [row for row in self._begun if row < window.first]:
            del self._begun[row]
        stop = min(window.stop + self._num_ahead, len(self._views))
        for row in range(max(self._next, window.first), stop):
            jpeg = self._shard.jpeg(row)
            self._begun[row] = self._pool.submit(_cropped, jpeg, self._views[row], self._size)
        self._next = max(self._next, stop)

    def crops(self, row: int) -> np.ndarray:
        """(1+K, S, S, 3) uint8. DamagedError if the frame cannot be decoded."""
        return self._begun[row].result()[0]

    def crc32(self, row: int) -> np.ndarray:
        """(1+K,) uint32, of the crops."""
        return self._begun[row].result()[1]


def _cropped(jpeg: bytes, views: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    crops = canonical_frame.replay(jpeg, views, size)
    return crops, canonical_frame.crc32(crops)
