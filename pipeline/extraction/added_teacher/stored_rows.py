"""The stored frames of a unit as an added teacher sees them: decoded and cropped in threads, a few rows ahead."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from embedonce.cache.added_teachers.documents import seen_views
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.frames import canonical_frame

MAX_BYTES_AHEAD = 256 << 20  # of crops that wait for the teacher, besides those of its batches


@dataclass(frozen=True)
class StoredRow:
    """A row of a unit. crops (1+K, S, S, 3) uint8: the stored views at the teacher's size; their (1+K,) CRC-32."""

    key: str
    crops: np.ndarray
    crop_crc32: np.ndarray


def stored_rows(
    reader: CacheReader, unit: str, teacher: TeacherIdentity, pool: ThreadPoolExecutor
) -> Iterator[StoredRow]:
    """The rows of a unit in order. DamagedError if its shard is damaged, or a frame cannot be decoded."""
    record = reader.records[unit]
    if not record.num_rows:
        return
    shard = reader.frames(unit)
    crop_bytes = 3 * teacher.input_size**2 * (1 + reader.identity.num_views)
    num_ahead = max(1, MAX_BYTES_AHEAD // crop_bytes)
    views = [seen_views(segment.views, teacher) for segment in record.segments for _ in range(segment.num_rows)]
    begun: deque[Future[StoredRow]] = deque()
    for row, key in enumerate(record.keys):
        work = partial(_stored_row, key, shard.jpeg(row), views[row], teacher.input_size)
        begun.append(pool.submit(work))
        if len(begun) > num_ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _stored_row(key: str, jpeg: bytes, views: np.ndarray, size: int) -> StoredRow:
    crops = canonical_frame.replay(jpeg, views, size)
    return StoredRow(key, crops, canonical_frame.crc32(crops))
