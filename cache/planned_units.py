"""What a commit record holds of the plan: its unit as it was planned, so that a lost plan can be rebuilt.

Most of it is what the record's segments say anyway; only what they do not say is written.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.cache import documents
from embedonce.cache.errors import some
from embedonce.cache.plan import MAX_PARTS, PlanIndex, PlannedSegment, PlannedVideo, Unit
from embedonce.cache.schema import LOST, NO_FRAME, REDACTED, Segment, Status

_ROW_OF = {Status.MISSING: NO_FRAME, Status.REDACTED: REDACTED, Status.CORRUPT: LOST, Status.RESHAPED: LOST}


@dataclass(frozen=True)
class PlannedUnit:
    """A unit as it was planned. part: of the plan; videos: those of its segments, in the same order."""

    part: int
    videos: tuple[PlannedVideo, ...]
    unit: Unit


def planned_in(plan: PlanIndex, name: str) -> PlannedUnit | None:
    """A unit of a plan; None where the plan does not have it."""
    unit = plan.units.get(name)
    if unit is None:
        return None
    return PlannedUnit(plan.part_of[name], tuple(plan.videos[s.video_uid] for s in unit.segments), unit)


def planned_document(planned: PlannedUnit, committed: tuple[Segment, ...]) -> dict:
    """The field `planned` of a record whose segments are these."""
    told = {segment.video_uid: as_planned(segment) for segment in committed}
    segments = documents.unit_document(planned.unit)["segments"]
    is_told = [are_equal(told.get(segment.video_uid), segment) for segment in planned.unit.segments]
    return {
        "part": planned.part,
        "videos": [documents.video_document(video) for video in planned.videos],
        "segments": [None if known else segment for known, segment in zip(is_told, segments, strict=True)],
    }


def planned_from(field: dict, unit: str, committed: tuple[Segment, ...]) -> PlannedUnit:
    """The planned unit in the field `planned` of the record of a unit with these segments.

    An error of documents.reading() where it makes no sense.
    """
    videos = tuple(documents.video_from(video) for video in documents.parse_list(field["videos"]))
    listed, uids = documents.parse_list(field["segments"]), [video.uid for video in videos]
    told = {segment.video_uid: as_planned(segment) for segment in committed}
    written = {"name": unit, "segments": [segment for segment in listed if segment is not None]}
    given = iter(documents.unit_from(written, set(uids)).segments)
    pairs = list(zip(uids, listed, strict=True))
    if lost := [uid for uid, segment in pairs if segment is None and uid not in told]:
        raise ValueError(f"it was committed with rows or times of {some(lost)}, and has none of them now")
    segments = tuple(told[uid] if segment is None else next(given) for uid, segment in pairs)
    if [segment.video_uid for segment in segments] != uids or len(set(uids)) != len(uids):
        raise ValueError("it was planned with other videos than it holds")
    planned = documents.validate_types(PlannedUnit(field["part"], videos, Unit(unit, segments)))
    if not 0 <= planned.part < MAX_PARTS:
        raise ValueError(f"no plan has a part {planned.part}")
    return planned


def as_planned(segment: Segment) -> PlannedSegment:
    """What must have been planned if every planned row of a committed segment came out."""
    row = segment.request_row.copy()
    for status, planned in _ROW_OF.items():
        row[segment.request_status == status] = planned
    return PlannedSegment(segment.video_uid, segment.frame_index, segment.pts, segment.request_k, row)


def are_equal(a: PlannedSegment | None, b: PlannedSegment | None) -> bool:
    """Whether two planned segments ask for the same; nothing is equal to None."""
    if a is None or b is None or a.video_uid != b.video_uid:
        return False
    names = ("frame_index", "pts", "request_k", "request_row")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def are_equal_units(a: Unit, b: Unit) -> bool:
    """Whether two units ask for the same of the same videos, in the same order."""
    if len(a.segments) != len(b.segments):
        return False
    return all(are_equal(*pair) for pair in zip(a.segments, b.segments, strict=True))
