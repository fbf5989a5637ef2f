"""ego4d.json: which videos and clips there are, how long they are, and what of them must not be looked at."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ego4d import streams
from pipeline.ego4d.problems import Problems
from pipeline.ego4d.record import Record

SPLITS = ("train", "val", "test")
OVERHANG_SEC = 1.0  # annotated times may lie so much outside their video by ego4d.json, which rounds
SPLIT_FIELDS = ("split_fho", "split_em", "split_av")


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """One video of the data set. Seconds are on its container's timeline, which begins at start_sec.

    splits: by field of SPLIT_FIELDS, where it is train, val or test. redacted: [start_sec, end_sec) parts.
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
    """What ego4d.json says, by uid."""

    videos: dict[str, VideoFacts]
    clips: dict[str, ClipFacts]


def read_metadata(path: Path, name: str, problems: Problems) -> Metadata:
    """ego4d.json at path; name: of the file, for messages. What is wrong with it is in `problems`."""
    videos: dict[str, VideoFacts] = {}
    for where, entry in streams.entries(path, "videos", name, problems):
        record = Record(entry, where, problems)
        facts = _video(record) if record.is_sound else None
        if facts is not None and facts.uid in videos:
            record.wrong("video_uid", "a uid that no other video has")
        elif facts is not None:
            videos[facts.uid] = facts
    clips: dict[str, ClipFacts] = {}
    listed = streams.entries(path, "clips", name, problems) if streams.has_key(path, "clips") else ()
    for where, entry in listed:
        record = Record(entry, where, problems)
        facts = _clip(record, videos) if record.is_sound else None
        if facts is not None and facts.uid in clips:
            record.wrong("clip_uid", "a uid that no other clip has")
        elif facts is not None:
            clips[facts.uid] = facts
    return Metadata(videos, clips)


def _video(record: Record) -> VideoFacts | None:
    uid, duration_sec = record.uid("video_uid"), record.seconds("duration_sec")
    if duration_sec is not None and duration_sec <= 0:
        record.wrong("duration_sec", "more than 0 seconds")
    start_sec = _start_sec(record)
    is_stereo = record.flag("is_stereo") if record.has("is_stereo") else False
    redacted = _redacted(record, start_sec or 0.0, (start_sec or 0.0) + (duration_sec or 0.0))
    scenarios = record.get("scenarios") if record.has("scenarios") else []
    if not (isinstance(scenarios, list) and all(isinstance(name, str) for name in scenarios)):
        record.wrong("scenarios", "a list of names")
    splits = {name: record.get(name) for name in SPLIT_FIELDS if record.get(name) in SPLITS}
    if not record.is_sound:
        return None
    return VideoFacts(uid, start_sec, duration_sec, is_stereo, redacted, tuple(scenarios), splits)


def _start_sec(record: Record) -> float | None:
    """When the container's timeline begins: often not at 0."""
    if not record.has("video_metadata"):
        return 0.0
    facts = Record(record.get("video_metadata"), f"{record.where}.video_metadata", record.problems)
    start_sec = facts.seconds("video_start_sec") if facts.has("video_start_sec") else 0.0
    record.is_sound &= facts.is_sound
    return start_sec


def _redacted(record: Record, start_sec: float, end_sec: float) -> tuple[tuple[float, float], ...]:
    """The redacted parts; a video that says it has some and names none must not be looked at."""
    spans, intervals = [], record.get("redacted_intervals") if record.has("redacted_intervals") else []
    for interval in record.records("redacted_intervals") if intervals != [] else ():
        span = interval.span("start_sec", "end_sec")
        record.is_sound &= interval.is_sound
        if span is not None and span[1] > span[0]:
            spans.append(span)
    if record.is_sound and len(spans) != len(intervals):  # an entry that is no object, or hides nothing
        record.wrong("redacted_intervals", "intervals that last some time", got=intervals)
    is_redacted = record.flag("has_redacted_regions") if record.has("has_redacted_regions") else False
    if is_redacted and not any(end > start_sec and start < end_sec for start, end in spans):
        record.wrong("redacted_intervals", "intervals in the video, where has_redacted_regions is true", got=intervals)
    return tuple(sorted(spans))


def _clip(record: Record, videos: dict[str, VideoFacts]) -> ClipFacts | None:
    uid, video_uid = record.uid("clip_uid"), record.uid("video_uid")
    span = record.span("video_start_sec", "video_end_sec")
    facts = videos.get(video_uid)
    if video_uid is not None and facts is None:
        record.wrong("video_uid", "a video of the list")
    elif span is not None and not facts.holds(*span):
        record.wrong("times", facts.expected(), got=span)
    return ClipFacts(uid, video_uid, *span) if record.is_sound else None
