"""Commits beside the teacher: one unit at a time, in a thread of its own. Knows the writer; decides nothing."""

from concurrent.futures import Future, ThreadPoolExecutor

from embedonce.cache.schema import FrameBatch
from embedonce.cache.writer import CacheWriter


class Committer:
    """Commits units in the order given, each whole before the next; a context manager that ends when all is on disk.

    Hashing and fsync give the interpreter away, so that they cost a fast teacher next to no time. An error of a commit
    is raised where the next one is submitted, or at the end.
    """

    def __init__(self, writer: CacheWriter):
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, "commit")
        self._running: Future | None = None

    def submit(self, unit: str, batch: FrameBatch, provenance: dict) -> None:
        """Begin to commit a unit, once the one before it is on disk: at most two are held in memory."""
        self.join()
        self._running = self._thread.submit(self._writer.commit_frames, unit, batch, provenance)

    def join(self) -> None:
        """Wait until everything submitted is on disk."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        try:
            if kind is None:
                self.join()
        finally:
            self._thread.shutdown(wait=True)  # what has begun is finished, whatever ended the run
