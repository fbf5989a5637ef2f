"""The JSON documents of a cache: identity, plan parts and commit records, to and from the schema's data.

Knows field names and types; opens no file. A document that lacks a field or holds a wrong type is damaged.
"""

import contextlib
import dataclasses
import json

import numpy as np

from cache.errors import DamagedError
from cache.schema import (
    FORMAT_VERSION,
    CacheIdentity,
    PlannedSegment,
    PlannedVideo,
    PlanPart,
    Segment,
    TeacherIdentity,
    Unit,
    check_uid,
)

_INTEGER_ARRAYS = {
    "frame_index": np.int64,
    "pts": np.int64,
    "request_k": np.int64,
    "request_row": np.int64,
    "request_status": np.uint8,
    "views": np.int32,
}


def parse(data: bytes, what: str) -> dict:
    """JSON bytes -> dict; DamagedError naming `what` where it is no JSON object of this format version."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise DamagedError(f"{what} is not valid JSON ({error})") from error
    version = document.get("format_version") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise DamagedError(f"{what} has format version {version!r}; this program reads version {FORMAT_VERSION}")
    return document


def identity_document(identity: CacheIdentity) -> dict:
    return dataclasses.asdict(identity)


def identity_from(document: dict, what: str) -> CacheIdentity:
    with reading(what):
        teacher = dict(document["teacher"])
        teacher |= {"mean": tuple(teacher["mean"]), "std": tuple(teacher["std"])}
        return CacheIdentity(**{**document, "teacher": TeacherIdentity(**teacher)})


def difference(ours: CacheIdentity, theirs: CacheIdentity) -> list[str]:
    """One line for each field that differs: `field: <in the cache> -> <asked for>`."""
    flat = [_flatten(dataclasses.asdict(identity)) for identity in (theirs, ours)]
    fields = dict.fromkeys([*flat[0], *flat[1]])
    return [f"{f}: {flat[0].get(f)} -> {flat[1].get(f)}" for f in fields if flat[0].get(f) != flat[1].get(f)]


def plan_document(part: PlanPart) -> dict:
    units = [{"name": unit.name, "segments": [_listed(segment) for segment in unit.segments]} for unit in part.units]
    videos = [_listed(video) for video in part.videos]
    return {"format_version": FORMAT_VERSION, "part": part.part, "videos": videos, "units": units}


def plan_from(document: dict, what: str) -> PlanPart:
    with reading(what):
        units = tuple(
            Unit(unit["name"], tuple(PlannedSegment(**_arrays(segment)) for segment in unit["segments"]))
            for unit in document["units"]
        )
        return PlanPart(document["part"], tuple(_video(video) for video in document["videos"]), units)


def segment_document(segment: Segment) -> dict:
    return _listed(segment)


def segment_from(document: dict, what: str) -> Segment:
    with reading(what):
        check_uid(document["video_uid"])
        return Segment(**{**_arrays(document), "time_base": tuple(document["time_base"])})


def _video(document: dict) -> PlannedVideo:
    check_uid(document["uid"])
    tuples = {name: tuple(document[name]) for name in ("decoded_size", "canonical_size", "time_base", "notes")}
    return PlannedVideo(**{**_arrays(document), **tuples})


def _listed(value) -> dict:
    fields = dataclasses.asdict(value)
    return {name: field.tolist() if isinstance(field, np.ndarray) else field for name, field in fields.items()}


def _arrays(document: dict) -> dict:
    arrays = {n: np.array(v, _INTEGER_ARRAYS[n]) for n, v in document.items() if n in _INTEGER_ARRAYS}
    return {**document, **arrays}


def _flatten(document: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


@contextlib.contextmanager
def reading(what: str):
    """Turns the errors of a malformed document into DamagedError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedError(f"{what} is damaged: {type(error).__name__} {error}") from error
