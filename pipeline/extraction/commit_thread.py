"""Commits units in threads of their own, while the teacher continues with the next ones."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from embedonce.cache.schema import FrameBatch
from embedonce.cache.shard_writer import immediately
from embedonce.cache.writer import CacheWriter


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
        self._running: deque[Future[None]] = deque()

    def submit(self, unit: str, batch: FrameBatch, provenance: dict) -> None:
        """Start committing a unit, once fewer are on their way than the store takes at once.

        So many units and this one are held in memory at most, each as rows and as the bytes of its shard.
        """
        self._wait(self._at_once - 1)
        before = self._running[-1].result if self._running else immediately
        self._running.append(self._threads.submit(self._writer.commit_frames, unit, batch, provenance, before))

    def join(self) -> None:
        """Wait until everything submitted is stored."""
        self._wait(0)

    def _wait(self, num_left: int) -> None:
        """Wait until so many commits are running, and raise the error of one that has ended."""
        while len(self._running) > num_left or (self._running and self._running[0].done()):
            self._running.popleft().result()

    def __enter__(self) -> "Committer":
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        try:
            if error_type is None:
                self.join()
        finally:
            self._threads.shutdown(wait=True)  # commits that have begun are finished, whatever ended the run
