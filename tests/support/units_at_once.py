"""An extraction that commits several units of made rows at once, to be cut anywhere and taken up again."""

import threading
from contextlib import closing

from embedonce.cache.schema import FrameBatch
from embedonce.cache.store import open_writer
from embedonce.cache.stores.base import Store
from embedonce.cache.stores.registry import Location
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.commit_thread import Committer
from tests.conftest import make_batch, make_cache_identity, make_segment, planned_segment, planned_video
from tests.support.crash_session import plain

BATCHES = {  # of one video every frame turned out corrupt, so that its unit has no shard
    "000000": make_batch(make_segment("a", 4)),
    "000001": make_batch(make_segment("a", 4, first_k=4), seed=1),
    "000002": make_batch(make_segment("b", 0)),
    "000003": make_batch(make_segment("c", 4), seed=3),
    "000004": make_batch(make_segment("c", 4, first_k=4), seed=4),
    "000005": make_batch(make_segment("c", 2, first_k=8), seed=5),
}
PLANNED = {"a": 8, "b": 4, "c": 10}  # rows of each video


class Telling:
    """A writer whose commits are marked when they have ended. most: how many ran at the same time."""

    def __init__(self, writer: CacheWriter, mark):
        self._writer, self._mark = writer, mark
        self._lock, self._running, self.most = threading.Lock(), 0, 0

    @property
    def store(self) -> Store:
        return self._writer.store

    def commit_frames(self, unit: str, batch: FrameBatch, *arguments) -> None:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            self._writer.commit_frames(unit, batch, *arguments)
            self._mark(unit, committed(batch))
        finally:
            with self._lock:
                self._running -= 1


def committed(batch: FrameBatch) -> tuple:
    """What crash_session.contents() finds of a unit."""
    return plain(batch.segments), batch.keys, list(batch.jpegs), batch.embeddings.tobytes()


def extract(root: Location, backend: str, mark=lambda key, value: None, between=lambda unit: None) -> int:
    """Commit all units that are not committed; mark what is acknowledged. Returns how many were committed at once.

    between: called after each unit was handed over.
    """
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        mark("identity", plain(writer.identity))
        if not writer.plan:
            requests = [planned_segment(uid, rows) for uid, rows in PLANNED.items()]
            writer.extend_plan([planned_video(uid) for uid in PLANNED], requests, shard_frames=4)
        mark("plan 0", plain(writer.plan[0]))
        told, done = Telling(writer, mark), writer.committed_units()
        with Committer(told) as committer:
            for unit in sorted(BATCHES.keys() - done):
                committer.submit(unit, BATCHES[unit], {})
                between(unit)
    return told.most
