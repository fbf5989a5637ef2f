"""What remains of units, plan parts and provenance without some videos. Pure functions: nothing is read or written."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from embedonce.cache.plan import PlannedVideo, PlanPart, Unit, newest_uids
from embedonce.cache.schema import FrameBatch, Segment

Videos = Collection[str]  # uids of the videos that are left out


def versions_of(plan: list[PlanPart], uids: Videos) -> dict[str, PlannedVideo]:
    """uid -> planned video, of these videos and of all that had or have the same path with other content."""
    newest = newest_uids(plan)
    last = {newest.get(uid, uid) for uid in uids}
    videos = [video for part in plan for video in part.videos]
    return {video.uid: video for video in videos if newest.get(video.uid, video.uid) in last}


def unit_without(unit: Unit, name: str, videos: Videos) -> Unit:
    """The unit of this name with the other segments of a unit."""
    return Unit(name, tuple(segment for segment in unit.segments if segment.video_uid not in videos))


def part_with_both(part: PlanPart, units: dict[str, str], videos: Videos) -> PlanPart:
    """The part with the old units and the new ones. units: old name -> new name, or empty."""
    names = {unit.name for unit in part.units}
    new = [unit_without(unit, units.get(unit.name, ""), videos) for unit in part.units]
    return replace(part, units=part.units + tuple(unit for unit in new if unit.name and unit.name not in names))


def part_without_units(part: PlanPart, old_units: Collection[str], videos: Videos) -> PlanPart:
    """The part without these units, and without continuing these videos."""
    units = tuple(unit for unit in part.units if unit.name not in old_units)
    return replace(part, units=units, continued=tuple(uid for uid in part.continued if uid not in videos))


def part_without_videos(part: PlanPart, videos: Videos) -> PlanPart:
    """The part without these videos, which have no units any more."""
    return replace(part, videos=tuple(video for video in part.videos if video.uid not in videos))


def rows_without(segments: tuple[Segment, ...], videos: Videos) -> np.ndarray:
    """The rows of a shard, (n,) int64, whose video is none of these."""
    is_kept = [np.full(segment.num_rows, segment.video_uid not in videos) for segment in segments]
    return np.flatnonzero(np.concatenate([np.zeros(0, bool), *is_kept]))


def batch_without(batch: FrameBatch, videos: Videos) -> FrameBatch:
    """The other rows of a unit."""
    rows = rows_without(batch.segments, videos)
    return FrameBatch(
        tuple(segment for segment in batch.segments if segment.video_uid not in videos),
        tuple(batch.jpegs[row] for row in rows),
        batch.embeddings[rows],
        batch.crop_crc32[rows],
    )


def provenance_without(value, videos: Videos):
    """JSON values without the entries of objects that are named after one of the videos, at any depth."""
    if isinstance(value, dict):
        return {name: provenance_without(inner, videos) for name, inner in value.items() if name not in videos}
    return [provenance_without(inner, videos) for inner in value] if isinstance(value, list) else value
