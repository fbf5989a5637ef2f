"""Commits units in threads of their own, while the teacher continues with the next ones."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from embedonce.cache.errors import AlreadyCommittedError
from embedonce.cache.schema import FrameBatch
from embedonce.cache.shard_writer import immediately
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.processes.busy_time import BusyTime

log = logging.getLogger(__name__)

MAX_BYTES = 256 << 20  # JPEGs of several units on their way; larger shards are uploaded in several parts at once anyway


class Committer:
    """Commits units, their records in the given order. Leaving the context waits for the last one.

    Where the store takes several large files at once, the shards of so many units are encoded and uploaded beside one
    another; each record waits for the one before. Hashing, fsync and sending release the interpreter lock, so they
    hardly slow down a fast teacher. An error of a commit ends all that were submitted after it before their records are
    published. It is raised when the next unit is submitted, or at the end.
    """

    def __init__(self, writer: CacheWriter):
        self._writer, self._at_once = writer, writer.store.puts_at_once
        self._threads = ThreadPoolExecutor(self._at_once, "commit")
        self._running: deque[tuple[Future[None], int]] = deque()  # with the bytes of their JPEGs
        self._busy = BusyTime()

    def submit(self, unit: str, batch: FrameBatch, provenance: dict) -> None:
        """Start committing a unit, once there is room beside those that are on their way.

        So many as the store takes at once, if their JPEGs have no more than MAX_BYTES, are held in memory: their rows,
        and their shards.
        """
        num_bytes = sum(map(len, batch.jpegs))
        self._wait(self._at_once - 1, MAX_BYTES - num_bytes)
        before = self._running[-1][0].result if self._running else immediately
        future = self._threads.submit(self._busy.call, self._commit, unit, batch, provenance, before)
        self._running.append((future, num_bytes))

    def join(self) -> None:
        """Wait until everything submitted is stored."""
        self._wait(0, 0)

    def _commit(self, unit: str, batch: FrameBatch, provenance: dict, before: Callable[[], object]) -> None:
        try:
            self._writer.commit_frames(unit, batch, provenance, before)
        except AlreadyCommittedError:
            if not self._writer.is_shared:
                raise
            log.info("shard %s was committed by another process first: both extracted the same frames", unit)

    def _wait(self, num_units: int, num_bytes: int) -> None:
        """Wait until no more than this is on its way, and raise the error of a commit that has ended."""
        while self._running and (
            self._running[0][0].done()
            or len(self._running) > num_units
            or sum(size for _, size in self._running) > num_bytes
        ):
            self._running.popleft()[0].result()

    @property
    def busy_sec(self) -> float:
        """Seconds that commits took, over how many may run at once."""
        return self._busy.seconds / self._at_once

    def __enter__(self) -> "Committer":
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        try:
            if error_type is None:
                self.join()
        finally:
            self._threads.shutdown(wait=True)  # commits that have begun are finished, whatever ended the run
