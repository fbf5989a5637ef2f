"""Plan parts as documents: videos and units to JSON and back, and checks that they fit together."""

from collections.abc import Callable, Iterable

from embedonce.cache import documents
from embedonce.cache.documents import as_damaged_error, parse_arrays, parse_list, to_fields, validate_types
from embedonce.cache.errors import DamagedError, OtherVersionError, rebuild_hint, some
from embedonce.cache.layout import numbered_file
from embedonce.cache.limits import check_text
from embedonce.cache.listed_parts import first_missing
from embedonce.cache.plan import PlanIndex, PlannedSegment, PlannedVideo, PlanPart, Unit
from embedonce.cache.schema import LOST, MAX_TIME_BASE, VIEW_FIELDS, check_fingerprint, check_uid, check_unit
from embedonce.cache.stores.stored_path import StoredPath

MAX_PIXELS = 1 << 28  # of a canonical frame
_PAIRS = ("decoded_size", "canonical_size", "time_base", "sample_aspect", "coded_aspect")  # of positive numbers


def read_part(path: StoredPath) -> PlanPart:
    """The part of the plan in a file. DamagedError if it cannot be read or contradicts itself."""
    return plan_from(documents.read(path, with_arrays=True), str(path))


def read_plan(folder: StoredPath) -> list[PlanPart]:
    """Every part of the plan, in order. DamagedError as in checked_plan()."""
    return checked_plan(lambda: {path.stem: read_part(path) for path in folder.list(".json")}, folder)


def checked_plan(read: Callable[[], dict[str, PlanPart]], folder: StoredPath) -> list[PlanPart]:
    """The parts that read() returns by name, in order.

    DamagedError, which names the command that helps, if one cannot be read, one before the last is missing, or they
    contradict each other. folder: of the plan.
    """
    try:
        parts = read()
        names = [f"{stem}.json" for stem in parts]
        if (number := first_missing(folder, names)) < len(names):
            raise DamagedError(f"{folder} lacks {numbered_file(number)}: it has {some(names)}")
        if renamed := [stem for stem, part in parts.items() if f"{stem}.json" != numbered_file(part.part)]:
            raise DamagedError(f"{folder / f'{renamed[0]}.json'} is another part of the plan, which was renamed")
        check_parts(parts.values(), str(folder))
    except OtherVersionError:
        raise
    except DamagedError as error:
        raise DamagedError(f"{error}; {rebuild_hint(folder.parent)}", has_advice=True) from error
    return list(parts.values())


def check_parts(parts: Iterable[PlanPart], name: str) -> None:
    """DamagedError, with this name, if a unit is in two parts or a continued video is in none."""
    with as_damaged_error(name):
        videos = PlanIndex(parts).videos
        if unknown := [uid for part in parts for uid in part.continued if uid not in videos]:
            raise ValueError(f"it continues videos that are in no part of the plan: {some(unknown)}")


def plan_document(part: PlanPart) -> dict:
    """The fields of plan/NNNNNN.json."""
    units = [unit_document(unit) for unit in part.units]
    videos = [video_document(video) for video in part.videos]
    return {"part": part.part, "videos": videos, "units": units, "continued": list(part.continued)}


def plan_from(document: dict, name: str) -> PlanPart:
    """The part in a document. DamagedError, with the document's name, if it is invalid or contradicts itself."""
    with as_damaged_error(name):
        videos = tuple(video_from(video) for video in parse_list(document["videos"]))
        continued = parse_list(document.get("continued", []))
        planned = {video.uid for video in videos} | set(continued)
        units = tuple(unit_from(unit, planned) for unit in parse_list(document["units"]))
        part = validate_types(PlanPart(document["part"], videos, units, continued))
        PlanIndex([part])
        return part


def unit_document(unit: Unit) -> dict:
    return {"name": unit.name, "segments": [to_fields(segment) for segment in unit.segments]}


def unit_from(fields: dict, planned: set[str]) -> Unit:
    """The unit with these fields. planned: uids of the videos that it may refer to. Errors of as_damaged_error."""
    listed = parse_list(fields["segments"])
    segments = tuple(validate_types(PlannedSegment(**parse_arrays(segment))) for segment in listed)
    for segment in segments:
        _check_segment(segment, fields["name"], planned)
    return Unit(check_unit(fields["name"]), segments)


def _check_segment(segment: PlannedSegment, unit: str, planned: set[str]) -> None:
    rows, requests = len(segment.frame_index), segment.request_row.shape
    shapes = [array.shape for array in (segment.frame_index, segment.pts, segment.request_k)]
    if segment.video_uid not in planned:
        raise ValueError(f"unit {unit} refers to {segment.video_uid!r}, which is missing from this part of the plan")
    if shapes != [(rows,), (rows,), requests] or len(requests) != 1:
        raise ValueError(f"unit {unit} has columns of different lengths for {segment.video_uid!r}")
    if ((segment.request_row < LOST) | (segment.request_row >= rows)).any():
        raise ValueError(f"unit {unit} has requests of {segment.video_uid} that refer to rows it does not have")


def video_document(video: PlannedVideo) -> dict:
    return to_fields(video)


def video_from(fields: dict) -> PlannedVideo:
    """The planned video with these fields. Errors of as_damaged_error."""
    tuples = {name: parse_list(fields[name]) for name in (*_PAIRS, "notes")}
    video = validate_types(PlannedVideo(**{**parse_arrays(fields), **tuples}))
    check_uid(video.uid)
    check_fingerprint(video.fingerprint)
    if video.replaces:
        check_uid(video.replaces)
    for text in (video.source, video.codec, *video.notes):
        check_text(text)
    height, width = video.canonical_size
    if min(number for name in _PAIRS for number in getattr(video, name)) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"video {video.uid} has invalid sizes, pixel aspects or time base")
    if video.rotation not in (0, 90, 180, 270):
        raise ValueError(f"video {video.uid} has an invalid rotation: {video.rotation}")
    if max(video.time_base) > MAX_TIME_BASE or min(video.num_bytes, video.num_frames) < 0:
        raise ValueError(f"video {video.uid} has an invalid time base, size or number of frames")
    if video.views.ndim != 2 or video.views.shape[1] != len(VIEW_FIELDS):
        raise ValueError(f"views of {video.uid} have shape {video.views.shape}")
    return video
