"""The order in which pending videos are decoded."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from embedonce.cache.plan import PlannedSegment, Unit
from embedonce.pipeline.extraction.pending_videos import REORDERED, PendingVideos, longest_last_first
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from tests.conftest import make_cache_identity, planned_video


def test_the_longest_of_the_last_videos_come_first_and_the_others_keep_their_order():
    length = {"a": 1, "b": 9, "c": 2, "d": 5, "e": 5}.__getitem__
    assert longest_last_first("abcde", length, 3) == ["a", "b", "d", "e", "c"]
    assert longest_last_first("abcde", length, 9) == ["b", "d", "e", "c", "a"]
    assert longest_last_first("", length, 3) == []


def segment(uid: str, *frames: int) -> PlannedSegment:
    count = np.arange(len(frames))
    return PlannedSegment(uid, np.array(frames), np.array(frames), count, count)


def test_videos_are_as_long_as_the_bytes_of_their_pending_part():
    """Half of the largest one is committed."""
    sizes = {"half": 300, "small": 100, "large": 200}
    planned = {uid: planned_video(uid, num_bytes=size) for uid, size in sizes.items()}
    committed = Unit("000000", (segment("half", 0, 1),))
    units = (Unit("000001", (segment("half", 2, 3), segment("small", 0))), Unit("000002", (segment("large", 0),)))
    writer = SimpleNamespace(planned_videos=planned, identity=make_cache_identity(), units=(committed, *units))
    builder = ShardBuilder((), planned, (1, 8))
    videos = {uid: SimpleNamespace(path=Path(uid)) for uid in sizes}
    pending = PendingVideos(SimpleNamespace(num_decode_workers=1), writer, builder, videos)
    assert pending.add(units, {}) == ["large", "half", "small"] and REORDERED >= 3
