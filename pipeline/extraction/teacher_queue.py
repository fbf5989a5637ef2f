"""Rows that wait for the teacher: their images are embedded in full batches, across rows and videos."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.teachers.lanes import Lanes, Member


class Cropped(Protocol):
    """A row that waits: (1+K, S, S, 3) uint8, what the teacher sees of it."""

    @property
    def crops(self) -> np.ndarray: ...


Task = TypeVar("Task")  # what rows belong to
Row = TypeVar("Row", bound=Cropped)
End = TypeVar("End")  # what says that a task has no more rows


class BatchTeacher(Protocol):
    """What embeds the batches. batch_size: images; it may become smaller. members: embed batches at the same time."""

    @property
    def batch_size(self) -> int: ...

    @property
    def members(self) -> Sequence[Member]: ...


@dataclass(frozen=True)
class EmbeddedRow(Generic[Task, Row]):
    """A row of a task, with its (1+K, D) float32 embeddings."""

    task: Task
    row: Row
    embeddings: np.ndarray


class TeacherQueue(Generic[Task, Row, End]):
    """Takes rows and ends of tasks, and returns them in the same order, the rows with their embeddings.

    A context, which is the time in which the teacher works, beside the caller. A batch is as large as the teacher's
    batch_size and may end in the middle of a row, so that all are full but the last. Fewer images than a batch, the
    batches of `Lanes` and one message wait here at any time.
    """

    def __init__(self, teacher: BatchTeacher, views_per_row: int, busy: BusyTime):
        """busy: counts the time of the teacher, of all its members together."""
        self._teacher, self._views_per_row = teacher, views_per_row
        self._lanes = Lanes(teacher.members, busy)
        self._waiting: deque[tuple[Task, Row] | End] = deque()
        self._images: list[np.ndarray] = []  # of the rows in _waiting, without those that are in a batch
        self._vectors: deque[np.ndarray] = deque()  # embeddings of the first images of _waiting

    def __enter__(self) -> "TeacherQueue[Task, Row, End]":
        self._lanes.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._lanes.__exit__(*error)

    def add(self, task: Task, rows: list[Row]) -> None:
        """Queue rows of a task."""
        self._waiting += [(task, row) for row in rows]
        self._images += [image for row in rows for image in row.crops]

    def end(self, event: End) -> None:
        """Queue the end of a task behind its rows."""
        self._waiting.append(event)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Embed a few images in between."""
        return self._lanes.embed(list(crops))

    def pop(self, is_last: bool = False) -> Iterator[EmbeddedRow[Task, Row] | End]:
        """Pass full batches on, or with is_last all images, and yield what need not wait any longer.

        Without is_last, only as much as is ready now; it waits while the teacher has enough to do.
        """
        yield from self._pop_ready()
        while self._images and (is_last or len(self._images) >= self._teacher.batch_size):
            count = self._teacher.batch_size
            batch, self._images = self._images[:count], self._images[count:]
            self._lanes.submit(batch)
            yield from self._pop_embedded()
        yield from self._pop_embedded(is_last)

    def _pop_embedded(self, is_last: bool = False) -> Iterator[EmbeddedRow[Task, Row] | End]:
        for vectors in self._lanes.pop(is_last):
            self._vectors += list(vectors)
            yield from self._pop_ready()

    def _pop_ready(self) -> Iterator[EmbeddedRow[Task, Row] | End]:
        count = self._views_per_row
        while self._waiting:
            item = self._waiting[0]
            if isinstance(item, tuple):
                if len(self._vectors) < count:
                    return
                task, row = item
                yield EmbeddedRow(task, row, np.stack([self._vectors.popleft() for _ in range(count)]))
            else:
                yield item
            self._waiting.popleft()
