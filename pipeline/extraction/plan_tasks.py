"""Which packets of a video must be decoded, found in a worker process: of videos that an earlier run has scanned.

Must never load torch, since each worker process imports it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.extraction.pieces import is_long
from embedonce.pipeline.extraction.task_checks import limit_cpu_time
from embedonce.pipeline.images.requested_images import plan_images
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.images.timeline import frames_of
from embedonce.pipeline.sources.source import VideoPath
from embedonce.pipeline.video.container import open_video
from embedonce.pipeline.video.entry_points import EntryPoints
from embedonce.pipeline.video.indexing import read_index
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.skipping import PackedPlan, plan_feed
from embedonce.pipeline.video.timeline import Timeline

INDEX_LIMIT_SEC = 1800.0  # CPU time per video


@dataclass(frozen=True)
class PlanTask:
    """Find the packets that the frames of one video with these pts, (n,) int64, depend on."""

    uid: str
    path: VideoPath
    decoder: str
    pts: np.ndarray


def plan_video(task: PlanTask) -> Iterator[PackedPlan | None]:
    """Yields None now and then as a heartbeat, and finally the plan, or None. VideoError if it cannot be read."""
    if isinstance(task.path, ImageSequence):
        yield _image_plan(frames_of(task.path).pts, task.pts)
        return
    with open_video(task.path, task.decoder) as (container, stream):
        reading = read_index(container, stream, stops_at_fallback=True)
        index = yield from limit_cpu_time(reading, INDEX_LIMIT_SEC)
    yield packed_plan(index, task.pts)


def plan_of(path: VideoPath, timeline: Timeline, pts: np.ndarray) -> PackedPlan | None:
    """Which packets, or images, of a scanned video frames with these pts, (n,) int64, depend on; None if that is not
    known or all must be decoded.
    """
    if isinstance(path, ImageSequence):
        return _image_plan(timeline.pts, pts)
    return None if timeline.by_order else packed_plan(timeline.index, pts)


def _image_plan(pts: np.ndarray, requested: np.ndarray) -> PackedPlan | None:
    """The plan of a long video, which may be cut; others need none."""
    return plan_images(pts, requested) if is_long(len(requested)) else None


def packed_plan(index: PacketIndex | None, pts: np.ndarray) -> PackedPlan | None:
    """Which packets frames with these pts, (n,) int64, depend on; of a long video, with entry points.

    None if all packets must be decoded, or unless the packets' own timestamps identify the frames.
    """
    if not len(pts) or index is None or not index.has_own_times:
        return None
    plan = plan_feed(index, pts)
    if plan.starts is None or not is_long(int(plan.feed.sum())):
        return PackedPlan.of(plan)
    return PackedPlan.of(plan, EntryPoints.of(index, pts, plan.starts))
