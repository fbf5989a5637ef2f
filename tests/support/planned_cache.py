"""A cache whose units are committed as they were planned, in milliseconds: no videos, no teacher, rows of random bytes.

Knows the doors of a cache; what is then lost of it is for the tests to say.
"""

from contextlib import closing
from pathlib import Path

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import PlannedSegment, Unit
from embedonce.cache.schema import FrameBatch, Segment, Status
from embedonce.cache.store import open_writer
from embedonce.cache.writer import CacheWriter
from tests.conftest import make_batch, make_cache_identity, planned_segment, planned_video

SHARD_FRAMES = 4
VIEWS = np.array([[0, 0, 256, 256, 0, 3], [1, 2, 200, 200, 1, 3]], np.int32)
PARTS = ({"a": 10, "b": 3}, {"c": 6}, {"d": 2, "e": 1})  # rows of the videos of each part: units 0-3, 4-5 and 6
UNITS = tuple(f"{number:06d}" for number in range(7))
LABELS = LabelSet("main", "none", ("cut", "stir"), (), None, {})


def make_planned_cache(root: Path, backend: str = "hdf5", committed=UNITS, parts=PARTS) -> Path:
    """A cache with these parts in its plan, and these units committed; a label set has clips over every part."""
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        for rows in parts:
            plan_videos(writer, rows)
        commit_units(writer, committed)
        writer.create_label_set(LABELS, None)
        for part in writer.plan:
            clips = [ClipLabel(f"{video.uid}:0", video.uid, 0.0, 3.0, 1, "train") for video in part.videos]
            writer.publish_clips("main", part.part, clips)
        writer.write_manifest()
    return root


def plan_videos(writer: CacheWriter, rows: dict[str, int]) -> None:
    """Append videos to the plan. Of each, the last two times show nothing and a lost frame."""
    videos = [planned_video(uid, views=VIEWS, fingerprint=64 * "a") for uid in rows]
    writer.extend_plan(videos, [requests_of(uid, count) for uid, count in rows.items()], SHARD_FRAMES)


def requests_of(uid: str, rows: int) -> PlannedSegment:
    plain = planned_segment(uid, rows)
    k = np.arange(rows + 2, dtype=np.int64)
    return PlannedSegment(uid, plain.frame_index, plain.pts, k, np.append(plain.request_row, (-1, -3)))


def commit_units(writer: CacheWriter, names, without=()) -> None:
    """Commit units as they were planned, except for the videos named `without`."""
    units, done = {unit.name: unit for unit in writer.units}, writer.committed_units()
    for name in names:
        if name not in done:
            writer.commit_frames(name, batch_of(units[name], without), {})


def batch_of(unit: Unit, without=()) -> FrameBatch:
    segments = tuple(_committed(s) for s in unit.segments if s.video_uid not in without)
    return make_batch(*segments, seed=int(unit.name))


def _committed(planned: PlannedSegment) -> Segment:
    status = np.select(
        [planned.request_row >= 0, planned.request_row == -1], [Status.OK, Status.MISSING], Status.CORRUPT
    )
    row = np.maximum(planned.request_row, -1)
    columns = (planned.frame_index, planned.pts, planned.request_k, status.astype(np.uint8), row)
    return Segment(planned.video_uid, (1, 15360), 0, VIEWS, *columns, 64 * "a")
