"""The identity of a cache as a document, and the differences between two identities."""

import dataclasses
import math

from embedonce.cache import limits
from embedonce.cache.documents import as_damaged_error, parse_list, validate_types
from embedonce.cache.limits import brief, check_range, check_text
from embedonce.cache.schema import (
    DEFAULT_VIEW_AREA,
    INTERPOLATIONS,
    RESIZE_MODES,
    SAMPLINGS,
    CacheIdentity,
    TeacherIdentity,
    format_version_for,
    max_snap_tolerance,
)

MAX_CROP_BYTES = 1 << 30  # of all views of one frame, or of one window, as the teacher sees them
_OMITTED_IF = {"snap_tolerance": None, "view_area": DEFAULT_VIEW_AREA}
_OMITTED_IF_ONE = ("crop_fraction", "window", "window_stride")


def identity_document(identity: CacheIdentity) -> dict:
    """The fields of cache.json; without those that older programs lack, if they have the value that these imply."""
    document = dataclasses.asdict(identity) | {"teacher": teacher_document(identity.teacher)}
    return {name: value for name, value in document.items() if name not in _OMITTED_IF or value != _OMITTED_IF[name]}


def teacher_document(teacher: TeacherIdentity) -> dict:
    """The fields of a teacher; without a crop_fraction of 1, and without the windows of one that embeds frames."""
    fields = dataclasses.asdict(teacher)
    return {name: value for name, value in fields.items() if name not in _OMITTED_IF_ONE or value != 1}


def identity_from(document: dict, name: str) -> CacheIdentity:
    """The identity in a document. DamagedError, with the document's name, if a field is missing or invalid."""
    with as_damaged_error(name):
        identity = validate_types(CacheIdentity(**{**document, "teacher": _teacher_of(document["teacher"])}))
        _check_identity(identity)
        return identity


def teacher_from(fields: dict, num_views: int) -> TeacherIdentity:
    """The identity of an added teacher in these fields. Errors of as_damaged_error. num_views: of the cache."""
    teacher = _teacher_of(fields)
    check_teacher_of_cache(teacher, num_views)
    return teacher


def _teacher_of(fields: dict) -> TeacherIdentity:
    listed = {field: parse_list(fields[field]) for field in ("mean", "std")}
    return TeacherIdentity(**{**fields, **listed})  # its types are checked with its values


def differences(requested: CacheIdentity | TeacherIdentity, stored: CacheIdentity | TeacherIdentity) -> list[str]:
    """One line for each field that differs: `field: <stored> -> <requested>`.

    format_version follows from other fields, and is not listed beside them.
    """
    old, new = (_flatten(dataclasses.asdict(identity)) for identity in (stored, requested))
    names = [name for name in old | new if old.get(name) != new.get(name)]
    listed = [name for name in names if name != "format_version"] or names
    return [f"{name}: {old.get(name)} -> {new.get(name)}" for name in listed]


def _check_identity(identity: CacheIdentity) -> None:
    """ValueError if a value is impossible, or would need too much memory."""
    version = format_version_for(identity.sampling, identity.teacher.crop_fraction, identity.view_area)
    check_range("format_version", identity.format_version, version, version)
    check_range("num_views", identity.num_views, 0, limits.MAX_VIEWS)
    check_range("view_area", identity.view_area, limits.MIN_VIEW_AREA, 1)
    check_range("canonical_short_side", identity.canonical_short_side, 1, limits.MAX_SHORT_SIDE)
    check_range("jpeg_quality", identity.jpeg_quality, 1, 100)
    check_text(identity.decoder, limits.MAX_NAME)
    if identity.fps is not None:
        check_range("fps", identity.fps, limits.MIN_FPS, limits.MAX_FPS)
    if identity.sampling not in SAMPLINGS or (identity.sampling == "keyframe") != (identity.fps is None):
        raise ValueError(f"invalid sampling {brief(identity.sampling)} with {identity.fps} frames per second")
    if (identity.sampling == "snap") != (identity.snap_tolerance is not None):
        raise ValueError(f"invalid sampling {brief(identity.sampling)} with snap_tolerance {identity.snap_tolerance}")
    if identity.fps is not None and identity.snap_tolerance is not None:
        check_range("snap_tolerance", identity.snap_tolerance, 0, max_snap_tolerance(identity.fps))
    check_teacher_of_cache(identity.teacher, identity.num_views)
    if identity.teacher.window != 1:
        raise ValueError("the teacher that makes a cache embeds single frames, not windows")


def check_teacher_of_cache(teacher: TeacherIdentity, num_views: int) -> None:
    """ValueError or TypeError if a cache with so many random views cannot have this teacher."""
    check_teacher(teacher)
    if teacher.input_bytes * (1 + num_views) > MAX_CROP_BYTES:
        frames = f"windows of {teacher.window} frames" if teacher.window > 1 else "frames"
        raise ValueError(f"{1 + num_views} views of {frames} of {teacher.input_size} pixels are too many")


def check_teacher(teacher: TeacherIdentity) -> None:
    """ValueError or TypeError if no cache can have this identity of a teacher."""
    for name, values, least in (("mean", teacher.mean, -math.inf), ("std", teacher.std, 0.0)):
        if len(values) != 3 or not all(least < value < math.inf for value in values):
            above = " above 0" if name == "std" else ""
            raise ValueError(f"{name} is {brief(str(values))}, not three finite numbers{above}")
    validate_types(teacher)
    for text in (teacher.name, teacher.weights, teacher.activation, teacher.resize_mode):
        check_text(text, limits.MAX_NAME)
    check_range("input_size", teacher.input_size, 1, limits.MAX_INPUT_SIZE)
    check_range("embed_dim", teacher.embed_dim, 1, limits.MAX_EMBED_DIM)
    sizes = (teacher.parameters_image, teacher.parameters_total, teacher.bytes_image, teacher.bytes_total)
    if min(sizes) < 0:
        raise ValueError(f"the parameter and byte counts of {brief(teacher.name)} are negative")
    check_range("crop_fraction", teacher.crop_fraction, limits.MIN_CROP_FRACTION, 1)
    if teacher.interpolation not in INTERPOLATIONS:
        raise ValueError(f"unknown interpolation {brief(teacher.interpolation)}")
    if teacher.resize_mode not in RESIZE_MODES:
        raise ValueError(f"unknown resize mode {brief(teacher.resize_mode)}")
    check_range("window", teacher.window, 1, limits.MAX_WINDOW)
    check_range("window_stride", teacher.window_stride, 1, limits.MAX_WINDOW if teacher.window > 1 else 1)


def _flatten(document: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
