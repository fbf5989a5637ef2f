"""ego4d.json: which videos and clips there are, how long they are, and what of them must not be looked at."""

from dataclasses import dataclass, field
from pathlib import Path

from embedonce.pipeline.sources.ego4d import streams
from embedonce.pipeline.sources.ego4d.problems import Problems
from embedonce.pipeline.sources.ego4d.record import Record

SPLITS = ("train", "val", "test")
_OTHER_VIDEO = "a uid that no other video has"
OVERHANG_SEC = 1.0  # points and clips may lie so much outside their video by ego4d.json, which rounds
ROUNDING_SEC = 0.1  # windows that reach so much beyond their video are not clamped
SPLIT_FIELDS = ("split_fho", "split_em", "split_av", "split_goalstep")
MULTI = "multi"  # the FHO split of a video whose clips are in several


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """One video of the data set. Seconds are on its container's timeline, which begins at start_sec.

    splits: by field of SPLIT_FIELDS, where it is train, val, test or multi. redacted: [start_sec, end_sec) parts.
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

    def holds(self, start_sec: float, end_sec: float) -> bool:
        """Whether times are in the video, give or take OVERHANG_SEC."""
        return self.start_sec - OVERHANG_SEC <= start_sec <= end_sec <= self.end_sec + OVERHANG_SEC

    def fits(self, start_sec: float, end_sec: float) -> bool:
        """Whether a window is in the video, give or take ROUNDING_SEC."""
        return self.start_sec - ROUNDING_SEC <= start_sec <= end_sec <= self.end_sec + ROUNDING_SEC

    def clamped(self, start_sec: float, end_sec: float) -> tuple[float, float]:
        """The part of [start_sec, end_sec) that is in the video; its end is not after its start where none is."""
        return max(start_sec, self.start_sec), min(end_sec, self.end_sec)

    def expected(self) -> str:
        """What to say where they are not."""
        return f"times in the video, [{self.start_sec:g}, {self.end_sec:g}] s"


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """A clip is the part [start_sec, end_sec) of a video, as a file of its own whose time begins at 0."""

    uid: str
    video_uid: str
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class Metadata:
    """What ego4d.json says, by uid. left_out: videos that it lists and that are not used, such as redacted in doubt."""

    videos: dict[str, VideoFacts]
    clips: dict[str, ClipFacts]
    left_out: frozenset[str] = frozenset()


def read_metadata(path: Path, name: str, problems: Problems) -> Metadata:
    """ego4d.json at path; name: of the file, for messages. What is wrong with it is in `problems`."""
    videos: dict[str, VideoFacts] = {}
    left_out: set[str] = set()
    for where, entry in streams.entries(path, "videos", name, problems):
        record = Record(entry, where, problems)
        facts = _video(record) if record.is_sound else None
        uid = record.get("video_uid")
        if facts is None:
            left_out |= {uid} if isinstance(uid, str) else set()
        elif uid in videos and videos[uid] != facts:
            record.odd("videos are listed twice, not the same way, and are not used", "video_uid", _OTHER_VIDEO)
            left_out.add(uid)
        elif uid in videos:
            record.odd("videos are listed twice and were taken once", "video_uid", _OTHER_VIDEO)
        else:
            videos[uid] = facts
    for uid in left_out:
        videos.pop(uid, None)
    return Metadata(videos, _read_clips(path, name, problems, videos, left_out), frozenset(left_out))


def _read_clips(path: Path, name: str, problems: Problems, videos: dict, left_out: set[str]) -> dict[str, ClipFacts]:
    clips: dict[str, ClipFacts] = {}
    listed = streams.entries(path, "clips", name, problems) if streams.has_key(path, "clips") else ()
    for where, entry in listed:
        record = Record(entry, where, problems)
        facts = _clip(record, videos, left_out) if record.is_sound else None
        if facts is not None and facts.uid in clips:
            record.odd("clips are listed twice and were taken once", "clip_uid", "a uid that no other clip has")
        elif facts is not None:
            clips[facts.uid] = facts
    return clips


def _video(record: Record) -> VideoFacts | None:
    uid, duration_sec = record.uid("video_uid"), record.seconds("duration_sec")
    if duration_sec is not None and duration_sec <= 0:
        record.odd("videos last no time and are not used", "duration_sec", "more than 0 seconds")
    start_sec = _start_sec(record)
    is_stereo = record.flag("is_stereo") if record.has("is_stereo") else False
    redacted = _redacted(record, start_sec or 0.0, (start_sec or 0.0) + (duration_sec or 0.0))
    scenarios = record.get("scenarios") if record.has("scenarios") else []
    if not (isinstance(scenarios, list) and all(isinstance(name, str) for name in scenarios)):
        record.tell("videos have scenarios that are no list of names and are used without", "scenarios", "a list")
        scenarios = []
    splits = {name: record.get(name) for name in SPLIT_FIELDS if record.get(name) in (*SPLITS, MULTI)}
    if not record.is_sound:
        return None
    return VideoFacts(uid, start_sec, duration_sec, is_stereo, redacted, tuple(scenarios), splits)


def _start_sec(record: Record) -> float | None:
    """When the container's timeline begins: often not at 0."""
    if not record.has("video_metadata"):
        return 0.0
    fields = record.fields.inner("video_metadata")
    facts = Record(record.get("video_metadata"), f"{record.where}.video_metadata", record.problems, fields)
    start_sec = facts.seconds("video_start_sec") if facts.has("video_start_sec") else 0.0
    record.is_sound &= facts.is_sound
    return start_sec


def _redacted(record: Record, start_sec: float, end_sec: float) -> tuple[tuple[float, float], ...]:
    """The redacted parts. A video whose redactions are in doubt must not be looked at: one note says why."""
    intervals = record.get("redacted_intervals") if record.has("redacted_intervals") else []
    spans = [span for interval in intervals if (span := _span(interval))] if isinstance(intervals, list) else []
    is_redacted = record.flag("has_redacted_regions") if record.has("has_redacted_regions") else False
    if not record.is_sound:
        return ()
    if not isinstance(intervals, list) or len(spans) != len(intervals):
        reason = "videos have redacted intervals that cannot be read, and are not used"
        record.odd(reason, "redacted_intervals", "intervals that last some time")
    elif is_redacted and not any(end > start_sec and start < end_sec for start, end in spans):
        reason = "videos have redacted regions by ego4d.json, which does not say where, and are not used"
        record.odd(reason, "redacted_intervals", "intervals in the video, where has_redacted_regions is true")
    return tuple(sorted(spans))


def _span(interval) -> tuple[float, float] | None:
    """The seconds of one redacted interval; None where it cannot be read or lasts no time."""
    record = Record(interval, "", Problems())
    span = record.span("start_sec", "end_sec") if record.is_sound else None
    return span if span is not None and span[1] > span[0] else None


def _clip(record: Record, videos: dict[str, VideoFacts], left_out: set[str]) -> ClipFacts | None:
    uid, video_uid = record.uid("clip_uid"), record.uid("video_uid")
    span = record.span("video_start_sec", "video_end_sec")
    facts = videos.get(video_uid)
    if video_uid in left_out or not record.is_sound:
        return None
    if facts is None:
        record.odd("clips are of videos that ego4d.json does not list and were left out", "video_uid", "a listed video")
    elif not facts.holds(*span):
        if not facts.holds(span[0], span[0]) or span[0] >= facts.end_sec:  # its file's time begins nobody knows where
            record.odd("clips lie outside their video and were left out", "times", facts.expected(), got=span)
        else:
            record.tell("clips reach beyond their video and were clamped", "times", facts.expected(), got=span)
        span = (span[0], min(span[1], facts.end_sec))
    return ClipFacts(uid, video_uid, *span) if record.is_sound else None
