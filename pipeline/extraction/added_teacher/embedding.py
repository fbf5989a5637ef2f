"""Embeds the stored frames of units with an added teacher, and commits each unit as soon as it is complete."""

import contextlib
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from embedonce.cache.reader import CacheReader
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.console.units import format_duration
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.added_teacher.stored_rows import StoredRows, stored_rows
from embedonce.pipeline.extraction.identity import provenance
from embedonce.pipeline.extraction.teacher_queue import EmbeddedRow, TeacherQueue
from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.processes.cores import usable_cores
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup


@dataclass(frozen=True)
class _UnitEnd:
    """All rows of a unit are queued."""

    unit: str


Item = EmbeddedRow[str, StoredRows] | _UnitEnd


def embed_units(writer: CacheWriter, name: str, teacher: BatchedTeacher | TeacherGroup, units: Sequence[str]) -> None:
    """Embed these units, in this order, and commit them.

    name: of the teacher in the cache. DamagedError if a frame shard is damaged, PipelineError if an embedding is NaN or
    infinite; what was committed until then stays.
    """
    reader = writer.reader()
    pool = ThreadPoolExecutor(usable_cores())
    num_rows = sum(reader.records[unit].num_rows for unit in units)
    try:
        with Progress(num_rows, f"embedding with {name}", "frames") as progress:
            commits = _Commits(writer, name, teacher, progress)
            with contextlib.closing(_embedded(reader, teacher, units, pool)) as embedded:
                for item in embedded:
                    commits.receive(item)
    finally:
        pool.shutdown(cancel_futures=True)
        reader.close()


def _embedded(
    reader: CacheReader, teacher: BatchedTeacher | TeacherGroup, units: Sequence[str], pool: ThreadPoolExecutor
) -> Generator[Item]:
    """The rows of the units with their embeddings, in order, and the end of each unit behind its rows."""
    rows: TeacherQueue[str, StoredRows, _UnitEnd] = TeacherQueue(teacher, 1 + reader.identity.num_views, BusyTime())
    with rows:
        for unit in units:
            for row in stored_rows(reader, unit, teacher.identity, pool):
                rows.add(unit, [row])
                yield from rows.pop()
            rows.end(_UnitEnd(unit))
            yield from rows.pop()
        yield from rows.pop(is_last=True)


class _Commits:
    """Gathers the rows of the unit that is being embedded, and commits it at its end."""

    def __init__(self, writer: CacheWriter, name: str, teacher: BatchedTeacher | TeacherGroup, progress: Progress):
        self._writer, self._name, self._teacher, self._progress = writer, name, teacher, progress
        self._provenance = provenance(teacher)
        self._embeddings: list[np.ndarray] = []  # of the unit, (n, 1+K, D) float16 each
        self._checksums: list[np.ndarray] = []  # (n, 1+K) uint32 each
        self._started = time.monotonic()
        self._is_forecast = False

    def receive(self, item: Item) -> None:
        if isinstance(item, _UnitEnd):
            self._commit(item.unit)
            return
        if not np.isfinite(item.embeddings).all():
            raise PipelineError(
                f"the embedding of frame {item.row.key} by teacher {self._name!r} is NaN or infinite; nothing of its "
                "unit was kept: check the teacher's weights and --device"
            )
        count = len(item.row.crop_crc32)  # the item is not kept: its crops are large
        self._embeddings.append(np.repeat(item.embeddings[None].astype(np.float16), count, axis=0))
        self._checksums.append(item.row.crop_crc32)
        self._progress.update(count)

    def _commit(self, unit: str) -> None:
        views, width = 1 + self._writer.identity.num_views, self._teacher.identity.embed_dim
        embeddings = np.concatenate([np.zeros((0, views, width), np.float16), *self._embeddings])
        crop_crc32 = np.concatenate([np.zeros((0, views), np.uint32), *self._checksums])
        how = {**self._teacher.device_facts(), **self._teacher.batch_facts()}  # anew: batches may have been halved
        self._writer.teachers.commit(self._name, unit, embeddings, crop_crc32, self._provenance | how)
        self._embeddings, self._checksums = [], []
        self._forecast()

    def _forecast(self) -> None:
        """Note once how long the other units will take."""
        done, total = self._progress.count, self._progress.total or 0
        if self._is_forecast or not 0 < done < total:
            return
        self._is_forecast = True
        seconds = (time.monotonic() - self._started) * (total - done) / done
        self._progress.note(f"about {format_duration(seconds)} for the other {total - done} frames")
