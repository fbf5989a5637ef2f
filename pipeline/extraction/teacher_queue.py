"""Rows that wait for the teacher: their images are embedded in full batches, across rows and videos."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.engines.engine import TaskDone, TaskFailed
from embedonce.pipeline.extraction.decode_tasks import DecodeTask, Row
from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.teachers.batches import BatchedTeacher

Ended = TaskDone[DecodeTask] | TaskFailed[DecodeTask]


@dataclass(frozen=True)
class EmbeddedRow:
    """A row of a video, with its (1+K, D) float32 embeddings."""

    uid: str
    row: Row
    embeddings: np.ndarray


class TeacherQueue:
    """Takes rows and ends of videos, and returns them in the same order, the rows with their embeddings.

    A batch is as large as the teacher's batch_size and may end in the middle of a row, so that all are full but the
    last. Fewer images than a batch and one message wait here at any time.
    """

    def __init__(self, teacher: BatchedTeacher, views_per_row: int, busy: BusyTime):
        """busy: counts the time of the teacher."""
        self._teacher, self._views_per_row, self._busy = teacher, views_per_row, busy
        self._waiting: deque[tuple[str, Row] | Ended] = deque()
        self._images: list[np.ndarray] = []  # of the rows in _waiting, without those embedded already
        self._vectors: list[np.ndarray] = []  # embeddings of the first images of _waiting

    def add(self, uid: str, rows: list[Row]) -> None:
        """Queue rows of a video."""
        self._waiting += [(uid, row) for row in rows]
        self._images += [image for row in rows for image in row.crops]

    def end(self, event: Ended) -> None:
        """Queue the end of a video behind its rows."""
        self._waiting.append(event)

    def pop(self, is_last: bool = False) -> Iterator[EmbeddedRow | Ended]:
        """Embed full batches, or with is_last all images, and yield what need not wait any longer."""
        yield from self._pop_ready()
        while self._images and (is_last or len(self._images) >= self._teacher.batch_size):
            count = self._teacher.batch_size
            batch, self._images = self._images[:count], self._images[count:]
            self._vectors += list(self._busy.call(self._teacher.embed, np.stack(batch)))
            yield from self._pop_ready()

    def _pop_ready(self) -> Iterator[EmbeddedRow | Ended]:
        count = self._views_per_row
        while self._waiting:
            item = self._waiting[0]
            if isinstance(item, tuple):
                if len(self._vectors) < count:
                    return
                vectors, self._vectors = self._vectors[:count], self._vectors[count:]
                yield EmbeddedRow(*item, np.stack(vectors))
            else:
                yield item
            self._waiting.popleft()
