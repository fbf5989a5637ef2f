"""Comparisons of plan and records with each other, which find impossible values although every checksum is right."""

from collections.abc import Iterator

import numpy as np

from embedonce.cache.plan import PlannedSegment, PlannedVideo, PlanPart
from embedonce.cache.records import Record
from embedonce.cache.schema import TIME_TOLERANCE_SEC, CacheIdentity, Segment, Status, request_seconds, seconds


def plan_problems(plan: list[PlanPart], identity: CacheIdentity) -> Iterator[tuple[int, str]]:
    """(part, message) for everything that is impossible in a plan."""
    videos: dict[str, PlannedVideo] = {}
    units: set[str] = set()
    for part in plan:
        for video in part.videos:
            if video.uid in videos:
                yield part.part, f"video {video.uid} is planned twice"
            videos[video.uid] = video
            yield from ((part.part, problem) for problem in _video_problems(video, identity))
        for unit in part.units:
            if unit.name in units:
                yield part.part, f"unit {unit.name} is planned twice"
            units.add(unit.name)
            for segment in unit.segments:
                problems = _row_problems(segment, videos[segment.video_uid])
                yield from ((part.part, f"unit {unit.name}: {problem}") for problem in problems)


def record_problems(record: Record, videos: dict[str, PlannedVideo], identity: CacheIdentity) -> Iterator[str]:
    """What is impossible in a record. videos: uid -> planned video."""
    for segment in record.segments:
        video = videos.get(segment.video_uid)
        if video is None:
            continue
        for name in ("time_base", "first_pts"):
            if getattr(segment, name) != getattr(video, name):
                yield f"{name} of {segment.video_uid} is not that of the plan"
        if not np.array_equal(segment.views, video.views):
            yield f"the views of {segment.video_uid} are not those of the plan"
        yield from _row_problems(segment, video)
        yield from _answer_problems(segment, identity)


def _video_problems(video: PlannedVideo, identity: CacheIdentity) -> Iterator[str]:
    height, width = video.canonical_size
    top, left, tall, wide = (video.views[:, i].astype(np.int64) for i in range(4))
    if len(video.views) != 1 + identity.num_views:
        yield f"video {video.uid} has {len(video.views)} views, not {1 + identity.num_views}"
    if (
        (np.minimum(top, left) < 0) | (np.minimum(tall, wide) < 0) | (top + tall > height) | (left + wide > width)
    ).any():
        yield f"a view of video {video.uid} is not within its frames"
    if video.end_sec < float(seconds(video.first_pts, video.time_base)):
        yield f"video {video.uid} ends before it begins"


def _row_problems(segment: Segment | PlannedSegment, video: PlannedVideo) -> Iterator[str]:
    uid = video.uid
    if len(segment.request_k) and segment.request_k.min() < 0:
        yield f"a time of {uid} was requested before the video begins"
    if not len(segment.frame_index):
        return
    if segment.frame_index.min() < 0 or segment.frame_index.max() >= video.num_frames:
        yield f"{uid} has {video.num_frames} frames, but no frame {segment.frame_index.max()}"
    last = float(seconds(segment.pts.max(), video.time_base))
    if last > video.end_sec + TIME_TOLERANCE_SEC:
        yield f"a frame of {uid} is shown at {last:.3f} s, after the video ends at {video.end_sec:.3f} s"


def _answer_problems(segment: Segment, identity: CacheIdentity) -> Iterator[str]:
    """Requests that are answered by frames of impossible times."""
    is_ok = segment.request_status == Status.OK
    k, rows = segment.request_k[is_ok], segment.request_row[is_ok]
    requested = request_seconds(k, segment.first_pts, segment.time_base, identity.fps)
    tolerance = max(1e-3, segment.time_base[0] / segment.time_base[1]) + TIME_TOLERANCE_SEC
    tolerance += identity.snap_tolerance or 0.0
    if (seconds(segment.pts[rows], segment.time_base) > requested + tolerance).any():
        yield f"a time of {segment.video_uid} is answered by a frame that is shown later"
    if (np.diff(rows) < 0).any():
        yield f"times of {segment.video_uid} are answered by frames in another order"
