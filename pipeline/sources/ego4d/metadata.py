"""Reads ego4d.json: the videos and clips of the data set, their length, and the parts that are redacted."""

from dataclasses import dataclass, field
from pathlib import Path

from embedonce.pipeline.sources.ego4d.parsing import json_stream
from embedonce.pipeline.sources.ego4d.parsing.notes import (
    CLAMPED,
    DUPLICATE,
    OUTSIDE_VIDEO,
    UNKNOWN_VIDEO,
    Reason,
)
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from embedonce.pipeline.sources.ego4d.parsing.record import Record
from embedonce.pipeline.splits.assignment import HELD_OUT_ORDER

FILE_NAME = "ego4d.json"
OVERHANG_SEC = 1.0  # points and clips may lie this far outside their video, because ego4d.json rounds
ROUNDING_SEC = 0.1  # windows that extend this far beyond their video are not clamped
SPLIT_FIELDS = ("split_fho", "split_em", "split_av", "split_goalstep")
MULTI = "multi"  # the FHO split of a video whose clips are in several splits

CONFLICTING_VIDEOS = Reason("conflicting-videos", "videos listed twice with different values, not used")
NO_DURATION = Reason("no-duration", "videos of zero or negative duration, not used")
INVALID_SCENARIOS = Reason("invalid-scenarios", "videos whose scenarios are not a list of names, used without them")
INVALID_REDACTIONS = Reason("invalid-redactions", "videos with unreadable redacted intervals, not used")
UNLISTED_REDACTIONS = Reason(
    "unlisted-redactions", "videos with redacted regions whose times ego4d.json does not list, not used"
)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """One video of the data set. Seconds are on the timeline of its container, which begins at start_sec.

    splits: field of SPLIT_FIELDS -> train, val, test or multi. redacted: [start_sec, end_sec) intervals.
    """

    uid: str
    start_sec: float
    duration_sec: float
    is_stereo: bool = False
    redacted: tuple[tuple[float, float], ...] = ()
    scenarios: tuple[str, ...] = ()
    splits: dict[str, str] = field(default_factory=dict)

    @property
    def end_sec(self) -> float:
        return self.start_sec + self.duration_sec

    def contains(self, start_sec: float, end_sec: float, tolerance_sec: float = OVERHANG_SEC) -> bool:
        """Whether an interval lies in the video, up to a tolerance in seconds."""
        return self.start_sec - tolerance_sec <= start_sec <= end_sec <= self.end_sec + tolerance_sec

    def clamp(self, start_sec: float, end_sec: float) -> tuple[float, float]:
        """The part of [start_sec, end_sec) that lies in the video; empty if its end is not after its start."""
        return max(start_sec, self.start_sec), min(end_sec, self.end_sec)

    def expected_times(self) -> str:
        """The valid times of the video, for error messages."""
        return f"times in the video, [{self.start_sec:g}, {self.end_sec:g}] s"


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """The part [start_sec, end_sec) of a video that also exists as a file of its own, whose time begins at 0."""

    uid: str
    video_uid: str
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class Metadata:
    """The content of ego4d.json, by uid. excluded: listed videos that must not be used, such as unclear redactions."""

    videos: dict[str, VideoInfo]
    clips: dict[str, ClipInfo]
    excluded: frozenset[str] = frozenset()


def read_metadata(path: Path, name: str, problems: Problems) -> Metadata:
    """Read ego4d.json and report what is wrong with it to `problems`. name: of the file, for messages."""
    videos: dict[str, VideoInfo] = {}
    excluded: set[str] = set()
    for place, entry in json_stream.entries(path, "videos", name, problems):
        record = Record(entry, place, problems)
        video = _read_video(record) if record.is_valid else None
        uid = record.get("video_uid")
        if video is None:
            excluded |= {uid} if isinstance(uid, str) else set()
        elif uid in videos and videos[uid] != video:
            record.drop(CONFLICTING_VIDEOS, "video_uid", "a uid that no other video has")
            excluded.add(uid)
        elif uid in videos:
            record.drop(DUPLICATE, "video_uid", "a uid that no other video has", detail="videos")
        else:
            videos[uid] = video
    for uid in excluded:
        videos.pop(uid, None)
    return Metadata(videos, _read_clips(path, name, problems, videos, excluded), frozenset(excluded))


def _read_clips(
    path: Path, name: str, problems: Problems, videos: dict[str, VideoInfo], excluded: set[str]
) -> dict[str, ClipInfo]:
    clips: dict[str, ClipInfo] = {}
    listed = json_stream.entries(path, "clips", name, problems) if json_stream.has_key(path, "clips") else ()
    for place, entry in listed:
        record = Record(entry, place, problems)
        clip = _read_clip(record, videos, excluded) if record.is_valid else None
        if clip is not None and clip.uid in clips:
            record.drop(DUPLICATE, "clip_uid", "a uid that no other clip has", detail="clips")
        elif clip is not None:
            clips[clip.uid] = clip
    return clips


def _read_video(record: Record) -> VideoInfo | None:
    uid, duration_sec = record.uid("video_uid"), record.seconds("duration_sec")
    if duration_sec is not None and duration_sec <= 0:
        record.drop(NO_DURATION, "duration_sec", "more than 0 seconds")
    start_sec = _read_start_sec(record)
    is_stereo = record.flag("is_stereo") if record.has("is_stereo") else False
    redacted = _read_redacted(record, start_sec or 0.0, (start_sec or 0.0) + (duration_sec or 0.0))
    scenarios = _read_scenarios(record)
    splits = {name: record.get(name) for name in SPLIT_FIELDS if record.get(name) in (*HELD_OUT_ORDER, MULTI)}
    if uid is None or start_sec is None or duration_sec is None or is_stereo is None or not record.is_valid:
        return None
    return VideoInfo(uid, start_sec, duration_sec, is_stereo, redacted, scenarios, splits)


def _read_scenarios(record: Record) -> tuple[str, ...]:
    scenarios = record.get("scenarios") if record.has("scenarios") else []
    if isinstance(scenarios, list) and all(isinstance(name, str) for name in scenarios):
        return tuple(scenarios)
    record.note(INVALID_SCENARIOS, "scenarios", "a list")
    return ()


def _read_start_sec(record: Record) -> float | None:
    """When the timeline of the container begins: often not at 0."""
    if not record.has("video_metadata"):
        return 0.0
    fields = record.fields.nested("video_metadata")
    nested = Record(record.get("video_metadata"), f"{record.place}.video_metadata", record.problems, fields)
    start_sec = nested.seconds("video_start_sec") if nested.has("video_start_sec") else 0.0
    record.is_valid &= nested.is_valid
    return start_sec


def _read_redacted(record: Record, start_sec: float, end_sec: float) -> tuple[tuple[float, float], ...]:
    """The redacted intervals. A video whose redactions are unclear is excluded, with one note."""
    intervals = record.get("redacted_intervals") if record.has("redacted_intervals") else []
    spans = [span for interval in intervals if (span := _span(interval))] if isinstance(intervals, list) else []
    is_redacted = record.flag("has_redacted_regions") if record.has("has_redacted_regions") else False
    if not record.is_valid:
        return ()
    if not isinstance(intervals, list) or len(spans) != len(intervals):
        record.drop(INVALID_REDACTIONS, "redacted_intervals", "intervals of positive length")
    elif is_redacted and not any(end > start_sec and start < end_sec for start, end in spans):
        expected = "intervals in the video, because has_redacted_regions is true"
        record.drop(UNLISTED_REDACTIONS, "redacted_intervals", expected)
    return tuple(sorted(spans))


def _span(interval: object) -> tuple[float, float] | None:
    """The seconds of one redacted interval; None if it is invalid or empty."""
    record = Record(interval, "", Problems())
    span = record.span("start_sec", "end_sec") if record.is_valid else None
    return span if span is not None and span[1] > span[0] else None


def _read_clip(record: Record, videos: dict[str, VideoInfo], excluded: set[str]) -> ClipInfo | None:
    uid, video_uid = record.uid("clip_uid"), record.uid("video_uid")
    span = record.span("video_start_sec", "video_end_sec")
    if uid is None or video_uid is None or span is None or video_uid in excluded:
        return None
    video = videos.get(video_uid)
    if video is None:
        record.drop(UNKNOWN_VIDEO, "video_uid", "a listed video")
        return None
    if not video.contains(*span):
        starts_outside = not video.contains(span[0], span[0]) or span[0] >= video.end_sec
        if starts_outside:  # its file's times cannot be mapped to the video
            record.drop(OUTSIDE_VIDEO, "times", video.expected_times(), value=span)
            return None
        record.note(CLAMPED, "times", video.expected_times(), value=span)
        span = (span[0], min(span[1], video.end_sec))
    return ClipInfo(uid, video_uid, *span) if record.is_valid else None
