"""The JSON documents of a cache: identity, plan parts and commit records, to and from the schema's data.

Knows field names and types. Each document carries a checksum of itself; one that lacks a field, holds a wrong type or
has another checksum is damaged.
"""

import contextlib
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from embedonce.cache import limits, strict_json
from embedonce.cache.commit import sha256, to_json
from embedonce.cache.errors import DamagedError, DamagedPlanError, OtherVersionError, rebuild_hint, some
from embedonce.cache.files import MAX_DOCUMENT_BYTES, list_folder, read_file
from embedonce.cache.limits import brief, check_range, check_text
from embedonce.cache.plan import PlanIndex, PlannedSegment, PlannedVideo, PlanPart, Unit
from embedonce.cache.schema import (
    FORMAT_VERSION,
    INTERPOLATIONS,
    LOST,
    MAX_TIME_BASE,
    RESIZE_MODES,
    SAMPLINGS,
    VIEW_FIELDS,
    CacheIdentity,
    Segment,
    TeacherIdentity,
    check_fingerprint,
    check_uid,
    check_unit,
)

MAX_CROP_BYTES = 1 << 30  # of all views of one frame, as a teacher sees them
MAX_PIXELS = 1 << 28  # of a canonical frame
_FIELDS_OF_NAMED = (  # what is known of a video in quarantine, and of one that a decode process was lost over
    {"name": str, "source": str, "reason": str, "num_bytes": int, "modified_ns": int},
    {"name": str, "attempts": int, "reason": str},
)
_INTEGER_ARRAYS = {
    "frame_index": np.int64,
    "pts": np.int64,
    "request_k": np.int64,
    "request_row": np.int64,
    "request_status": np.uint8,
    "views": np.int32,
}


def serialize_with_checksum(document: dict) -> bytes:
    """A document, with the format version, as JSON whose last field is the SHA-256 of the JSON without that field."""
    body = to_json({**document, "format_version": FORMAT_VERSION})
    return body[:-1] + _seal_of(body)


def sealed(document: dict, read_back: Callable[[dict, str], object], what: str) -> bytes:
    """seal(document), proven to be readable: parsed and handed to the reader's own function before anybody stores it.

    read_back: (document, what) -> anything; raises DamagedError where a reader would. ValueError where it does, for
    the document was then made of values that the format does not allow.
    """
    data = serialize_with_checksum(document)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ValueError(
            f"{what} would have {len(data)} bytes, more than the {MAX_DOCUMENT_BYTES} that can be read back"
        )
    try:
        read_back(parse(data, what), what)
    except DamagedError as error:
        raise ValueError(f"{what} would not be readable, and was not written: {error}") from error
    return data


def read(path: Path) -> dict:
    """The document in a file. DamagedError where it is missing or not as it was written."""
    return parse(read_file(path), str(path))


def parse(data: bytes, what: str) -> dict:
    """What seal() made -> the document. DamagedError naming `what` where it is anything else."""
    try:
        document = strict_json.loads(data)
    except ValueError as error:
        raise DamagedError(f"{what} is not valid JSON ({error})") from error
    version = document.get("format_version") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise OtherVersionError(
            f"{what} has format version {brief(version)}; this program reads version {FORMAT_VERSION}"
        )
    if not is_whole(data):
        raise DamagedError(f"{what} is damaged: it does not have the checksum that it was written with")
    del document["checksum"]
    return document


def is_whole(data: bytes) -> bool:
    """Whether bytes end in the checksum that a document of them has."""
    return data[-_SEAL_BYTES:] == _seal_of(data[:-_SEAL_BYTES] + b"}")


def _seal_of(body: bytes) -> bytes:
    return b',"checksum":"%s"}' % sha256(body).encode()


_SEAL_BYTES = len(_seal_of(b""))


def identity_document(identity: CacheIdentity) -> dict:
    return dataclasses.asdict(identity)


def identity_from(document: dict, what: str) -> CacheIdentity:
    with as_damaged_error(what):
        teacher = dict(document["teacher"])
        teacher |= {name: parse_list(teacher[name]) for name in ("mean", "std")}
        identity = validate_types(CacheIdentity(**{**document, "teacher": validate_types(TeacherIdentity(**teacher))}))
        _check_identity(identity)
        return identity


def difference(ours: CacheIdentity, theirs: CacheIdentity) -> list[str]:
    """One line for each field that differs: `field: <in the cache> -> <asked for>`."""
    flat = [_flatten(dataclasses.asdict(identity)) for identity in (theirs, ours)]
    fields = dict.fromkeys([*flat[0], *flat[1]])
    return [f"{f}: {flat[0].get(f)} -> {flat[1].get(f)}" for f in fields if flat[0].get(f) != flat[1].get(f)]


def plan_document(part: PlanPart) -> dict:
    units = [unit_document(unit) for unit in part.units]
    videos = [video_document(video) for video in part.videos]
    return {"part": part.part, "videos": videos, "units": units, "continued": list(part.continued)}


def unit_document(unit: Unit) -> dict:
    return {"name": unit.name, "segments": [_listed(segment) for segment in unit.segments]}


def video_document(video: PlannedVideo) -> dict:
    return _listed(video)


def plan_from(document: dict, what: str) -> PlanPart:
    with as_damaged_error(what):
        videos = tuple(video_from(video) for video in parse_list(document["videos"]))
        continued = parse_list(document.get("continued", []))
        planned = {video.uid for video in videos} | set(continued)
        units = tuple(unit_from(unit, planned) for unit in parse_list(document["units"]))
        part = validate_types(PlanPart(document["part"], videos, units, continued))
        PlanIndex([part])
        return part


def read_named(folder: Path) -> dict[str, dict]:
    """name -> facts of the videos that the documents in a folder speak of."""
    found = {}
    for path in list_folder(folder, ".json"):
        name, facts = named_from(read(path), str(path))
        found[name] = facts
    return found


def named_from(document: dict, what: str) -> tuple[str, dict]:
    """(name, facts) of a document about a video in quarantine, or about one that a decode process was lost over."""
    with as_damaged_error(what):
        facts = {name: value for name, value in document.items() if name != "format_version"}
        if {key: type(value) for key, value in facts.items()} not in _FIELDS_OF_NAMED:
            raise TypeError(f"its fields are {brief(', '.join(facts))}, or of wrong types")
        for value in facts.values():
            if isinstance(value, str):
                check_text(value)
        return facts.pop("name"), facts


def file_of(name: str) -> str:
    """The name of the file that speaks of a video in quarantine, or of attempts, whatever the video is called."""
    return f"{sha256(name.encode('utf-8', 'surrogateescape'))[:32]}.json"


def check_named(path: Path) -> None:
    """DamagedError where a file of quarantine or attempts cannot be read, or is under another name than its own."""
    name, facts = named_from(read(path), str(path))
    if path.name != file_of(name):
        raise DamagedError(f"{path} speaks of {name!r}: it was renamed or copied")
    if facts.get("num_bytes", 0) < 0 or facts.get("attempts", 1) < 1:
        raise DamagedError(f"{path} counts fewer than none")


def read_plan(folder: Path) -> list[PlanPart]:
    """Every part of the plan, in order. DamagedError where one cannot be read, or one is missing before another."""
    paths = list_folder(folder, ".json")
    try:
        parts = [plan_from(read(path), str(path)) for path in paths]
        if [part.part for part in parts] != list(range(len(parts))):
            raise DamagedError(f"{folder} lacks a part of the plan: it has {some(path.name for path in paths)}")
        check_parts(parts, str(folder))
    except OtherVersionError:
        raise
    except DamagedError as error:
        raise DamagedPlanError(f"{error}; {rebuild_hint(folder.parent)}") from error
    return parts


def check_parts(parts: Iterable[PlanPart], what: str) -> None:
    """DamagedError naming `what` where parts contradict each other: a unit twice, or a video that none of them has."""
    with as_damaged_error(what):
        there = PlanIndex(parts).videos
        if strange := [uid for part in parts for uid in part.continued if uid not in there]:
            raise ValueError(f"it goes on with {some(strange)}, which no part has")


def segment_document(segment: Segment) -> dict:
    return _listed(segment)


def segment_from(document: dict, what: str) -> Segment:
    with as_damaged_error(what):
        check_uid(document["video_uid"])
        check_fingerprint(document["fingerprint"])
        return validate_types(Segment(**{**_arrays(document), "time_base": parse_list(document["time_base"])}))


_PAIRS = ("decoded_size", "canonical_size", "time_base", "sample_aspect", "coded_aspect")  # of positive numbers


def video_from(document: dict) -> PlannedVideo:
    tuples = {name: parse_list(document[name]) for name in (*_PAIRS, "notes")}
    video = validate_types(PlannedVideo(**{**_arrays(document), **tuples}))
    check_uid(video.uid)
    check_fingerprint(video.fingerprint)
    if video.replaces:
        check_uid(video.replaces)
    for text in (video.source, video.codec, *video.notes):
        check_text(text)
    (height, width), is_turned = video.canonical_size, video.rotation in (0, 90, 180, 270)
    if min(n for name in _PAIRS for n in getattr(video, name)) < 1 or height * width > MAX_PIXELS or not is_turned:
        raise ValueError(f"video {video.uid} cannot have these sizes, pixel aspects, rotation or time base")
    if max(video.time_base) > MAX_TIME_BASE or min(video.num_bytes, video.num_frames) < 0:
        raise ValueError(f"video {video.uid} cannot have this time base, size or number of frames")
    if video.views.ndim != 2 or video.views.shape[1] != len(VIEW_FIELDS):
        raise ValueError(f"views of {video.uid} have shape {video.views.shape}")
    return video


def unit_from(document: dict, planned: set[str]) -> Unit:
    segments = tuple(validate_types(PlannedSegment(**_arrays(segment))) for segment in parse_list(document["segments"]))
    for segment in segments:
        rows, requests = len(segment.frame_index), segment.request_row.shape
        shapes = [array.shape for array in (segment.frame_index, segment.pts, segment.request_k)]
        if segment.video_uid not in planned or shapes != [(rows,), (rows,), requests] or len(requests) != 1:
            raise ValueError(f"unit {document['name']} holds what was not planned of {segment.video_uid!r}")
        if ((segment.request_row < LOST) | (segment.request_row >= rows)).any():
            raise ValueError(f"requests of {segment.video_uid} name rows that are not there")
    return Unit(check_unit(document["name"]), segments)


def _check_identity(identity: CacheIdentity) -> None:
    """ValueError where nothing can be as it says, or it asks for too much memory."""
    teacher, side, views, fps = identity.teacher, identity.teacher.input_size, identity.num_views, identity.fps
    check_range("format_version", identity.format_version, FORMAT_VERSION, FORMAT_VERSION)
    check_range("input_size", side, 1, limits.MAX_INPUT_SIZE)
    check_range("embed_dim", teacher.embed_dim, 1, limits.MAX_EMBED_DIM)
    check_range("num_views", views, 0, limits.MAX_VIEWS)
    check_range("canonical_short_side", identity.canonical_short_side, 1, limits.MAX_SHORT_SIDE)
    check_range("jpeg_quality", identity.jpeg_quality, 1, 100)
    if fps is not None:
        check_range("fps", fps, limits.MIN_FPS, limits.MAX_FPS)
    if 3 * side * side * (1 + views) > MAX_CROP_BYTES:
        raise ValueError(f"no teacher sees {1 + views} views of {side} pixels")
    if len(teacher.mean) != 3 or len(teacher.std) != 3 or min(teacher.std) <= 0 or min(_sizes(teacher)) < 0:
        raise ValueError(f"nobody is the teacher {brief(teacher.name)} with these means, deviations and sizes")
    for text in (teacher.name, teacher.weights, teacher.activation, teacher.resize_mode, identity.decoder):
        check_text(text, limits.MAX_NAME)
    if teacher.interpolation not in INTERPOLATIONS or teacher.resize_mode not in RESIZE_MODES:
        raise ValueError(f"no image is resized by {brief(teacher.interpolation)} and {brief(teacher.resize_mode)}")
    if identity.sampling not in SAMPLINGS or (identity.sampling == "fps") != (fps is not None):
        raise ValueError(f"{brief(identity.sampling)} at {fps} frames per second is no way to sample")


def _sizes(teacher: TeacherIdentity) -> tuple[int, ...]:
    return teacher.parameters_image, teacher.parameters_total, teacher.bytes_image, teacher.bytes_total


def validate_types(value):
    """A frozen dataclass of plain fields; TypeError where one is of another type than declared, or no finite number."""
    for name, kind in _kinds_of(type(value)):
        if not _is_of(getattr(value, name), kind):
            raise TypeError(f"{name} is {brief(getattr(value, name))}")
    return value


@functools.cache
def _kinds_of(kind: type) -> tuple:
    """(name, declared type) of a dataclass's fields."""
    return tuple((field.name, field.type) for field in dataclasses.fields(kind))


_parts_of = functools.cache(typing.get_args)


def parse_list(value) -> tuple:
    """The items of a JSON array; TypeError where it is something else."""
    if type(value) is not list:
        raise TypeError(f"{brief(value)} is no list")
    return tuple(value)


def _is_of(value, kind) -> bool:
    parts = _parts_of(kind)
    if isinstance(kind, types.UnionType):
        return any(_is_of(value, part) for part in parts)
    if parts:  # a tuple: of one type and any length, or of one type for each place
        kinds = parts[:1] * len(value) if parts[-1] is ... else parts
        return len(kinds) == len(value) and all(map(_is_of, value, kinds))
    if kind in (int, float):
        return type(value) in (int, kind) and -(2**63) <= value < 2**63
    return type(value) is kind


def _listed(value) -> dict:
    fields = dataclasses.asdict(value)
    return {name: field.tolist() if isinstance(field, np.ndarray) else field for name, field in fields.items()}


def _arrays(document: dict) -> dict:
    arrays = {n: integers(v, _INTEGER_ARRAYS[n]) for n, v in document.items() if n in _INTEGER_ARRAYS}
    return {**document, **arrays}


def integers(values: list, dtype) -> np.ndarray:
    """Nested lists of integers as an array. TypeError or OverflowError where values are not integers of this type."""
    found = np.array(values)
    if found.size and found.dtype.kind != "i":
        raise TypeError(f"{brief(values)} holds something else than integers")
    array = found.astype(dtype, copy=False)
    if array is not found and (array != found).any():
        raise OverflowError(f"{brief(values)} holds something else than integers of type {np.dtype(dtype)}")
    return array


def _flatten(document: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


@contextlib.contextmanager
def as_damaged_error(what: str):
    """Turns the errors of a malformed document into DamagedError."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedError(f"{what} is damaged: {type(error).__name__} {str(error)[:300]}") from error
