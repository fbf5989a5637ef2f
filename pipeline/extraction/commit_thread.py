"""Commits units in a thread of its own, one at a time, while the teacher continues with the next one."""

from concurrent.futures import Future, ThreadPoolExecutor

from embedonce.cache.schema import FrameBatch
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.processes.busy_time import BusyTime


class Committer:
    """Commits units in the given order, each completely before the next. Leaving the context waits for the last one.

    Hashing and fsync release the interpreter lock, so they hardly slow down a fast teacher. An error of a commit is
    raised when the next unit is submitted, or at the end.
    """

    def __init__(self, writer: CacheWriter):
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, "commit")
        self._running: Future[None] | None = None
        self._busy = BusyTime()

    def submit(self, unit: str, batch: FrameBatch, provenance: dict) -> None:
        """Start committing a unit, once the one before is on disk: at most two units are held in memory."""
        self.join()
        self._running = self._thread.submit(self._busy.call, self._writer.commit_frames, unit, batch, provenance)

    def join(self) -> None:
        """Wait until everything submitted is on disk."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    @property
    def busy_sec(self) -> float:
        """Seconds that commits took, over how many may run at once."""
        return self._busy.seconds

    def __enter__(self) -> "Committer":
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        try:
            if error_type is None:
                self.join()
        finally:
            self._thread.shutdown(wait=True)  # a commit that has begun is finished, whatever ended the run
