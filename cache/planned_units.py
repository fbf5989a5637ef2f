"""The part of a commit record that describes the unit as it was planned, so that a lost plan can be rebuilt.

Most of a planned segment follows from the committed segment of the same video; only what does not is written.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.cache import plan_documents
from embedonce.cache.documents import parse_list, validate_types
from embedonce.cache.errors import some
from embedonce.cache.limits import brief
from embedonce.cache.plan import MAX_PARTS, PlanIndex, PlannedSegment, PlannedVideo, Unit
from embedonce.cache.schema import LOST, NO_FRAME, REDACTED, Segment, Status

_PLANNED_ROW = {Status.MISSING: NO_FRAME, Status.REDACTED: REDACTED, Status.CORRUPT: LOST, Status.RESHAPED: LOST}


@dataclass(frozen=True)
class PlannedUnit:
    """A unit as it was planned. part: of the plan; videos: those of its segments, in the same order."""

    part: int
    videos: tuple[PlannedVideo, ...]
    unit: Unit


def planned_in(plan: PlanIndex, name: str) -> PlannedUnit | None:
    """A unit of a plan; None if the plan does not have it."""
    unit = plan.units.get(name)
    if unit is None:
        return None
    return PlannedUnit(plan.part_of[name], tuple(plan.videos[s.video_uid] for s in unit.segments), unit)


def planned_document(planned: PlannedUnit, committed: tuple[Segment, ...]) -> dict:
    """The field `planned` of a record with these segments."""
    implied = {segment.video_uid: as_planned(segment) for segment in committed}
    segments = plan_documents.unit_document(planned.unit)["segments"]
    is_implied = [are_equal(implied.get(segment.video_uid), segment) for segment in planned.unit.segments]
    return {
        "part": planned.part,
        "videos": [plan_documents.video_document(video) for video in planned.videos],
        "segments": [None if omit else segment for omit, segment in zip(is_implied, segments, strict=True)],
    }


def planned_from(field: dict, unit: str, committed: tuple[Segment, ...]) -> PlannedUnit:
    """The planned unit in the field `planned` of the record of a unit with these segments.

    Raises an error of documents.as_damaged_error if it is invalid.
    """
    videos = tuple(plan_documents.video_from(video) for video in parse_list(field["videos"]))
    listed, uids = parse_list(field["segments"]), [video.uid for video in videos]
    implied = {segment.video_uid: as_planned(segment) for segment in committed}
    written = {"name": unit, "segments": [segment for segment in listed if segment is not None]}
    explicit = iter(plan_documents.unit_from(written, set(uids)).segments)
    check_nothing_lost(field, committed)
    pairs = zip(uids, listed, strict=True)
    segments = tuple(implied[uid] if segment is None else next(explicit) for uid, segment in pairs)
    if [segment.video_uid for segment in segments] != uids or len(set(uids)) != len(uids):
        raise ValueError("the videos of `planned` do not match its segments")
    return validate_types(PlannedUnit(check_part(field["part"]), videos, Unit(unit, segments)))


def check_nothing_lost(field: dict, committed: tuple[Segment, ...]) -> None:
    """ValueError if segments that the field `planned` of a record takes for committed are not among its segments."""
    uids = [video["uid"] for video in parse_list(field["videos"])]
    has = {segment.video_uid for segment in committed}
    pairs = zip(uids, parse_list(field["segments"]), strict=True)
    if lost := [uid for uid, segment in pairs if segment is None and uid not in has]:
        raise ValueError(f"its segments of {some(lost)} are missing")


def check_part(part) -> int:
    """Return part. ValueError if it is not the number of a plan part."""
    if type(part) is not int or not 0 <= part < MAX_PARTS:
        raise ValueError(f"invalid plan part {brief(part)}")
    return part


def as_planned(segment: Segment) -> PlannedSegment:
    """The planned segment of which a committed one has every row."""
    row = segment.request_row.copy()
    for status, planned_row in _PLANNED_ROW.items():
        row[segment.request_status == status] = planned_row
    return PlannedSegment(segment.video_uid, segment.frame_index, segment.pts, segment.request_k, row)


def are_equal(a: PlannedSegment | None, b: PlannedSegment | None) -> bool:
    """Whether two planned segments have the same frames and requests; False if one is None."""
    if a is None or b is None or a.video_uid != b.video_uid:
        return False
    names = ("frame_index", "pts", "request_k", "request_row")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def are_equal_units(a: Unit, b: Unit) -> bool:
    """Whether two units have equal segments in the same order."""
    if len(a.segments) != len(b.segments):
        return False
    return all(are_equal(*pair) for pair in zip(a.segments, b.segments, strict=True))
