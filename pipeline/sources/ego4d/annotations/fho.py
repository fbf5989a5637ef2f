"""FHO (forecasting, hands and objects): the narrated actions of fho_main.json, by verb and by noun."""

from collections.abc import Callable
from dataclasses import dataclass, field

from embedonce.pipeline.sources.ego4d.annotations.reader import (
    AnnotationKind,
    AnnotationReader,
    AssignedSplit,
    ClassWords,
    Window,
)
from embedonce.pipeline.sources.ego4d.annotations.splits import split_of_fho_clip, splits_of_fho_clips
from embedonce.pipeline.sources.ego4d.annotations.taxonomies import fho_taxonomy
from embedonce.pipeline.sources.ego4d.parsing.notes import DUPLICATE, NO_CLASS, Reason
from embedonce.pipeline.sources.ego4d.parsing.record import Record

FILE = "fho_main.json"
TAXONOMY = "fho_main_taxonomy.json"
MAX_FRAMES = 1e9
CANONICAL_FPS = 30.0  # of all canonical videos; critical frames are numbered at this rate
FRAME_ORDER = ("pnr_frame", "contact_frame", "pre_frame", "post_frame", "pre_15", "pre_30", "pre_45")
OBJECT_OF_CHANGE = "object_of_change"
NOT_A_CLASS = ("", "[other]", "other")  # values that stand for no class

SKIPPED_ACTIONS = Reason("skipped-actions", "actions skipped")
REJECTED = "rejected or invalid"
NO_STAGE = "stage is null (the official notebook skips them, others keep them)"
NO_CRITICAL_FRAMES = "no pre and post frame (--fho-window critical)"
NO_SPLIT = "clip in no FHO split file, video without split_fho"
INTERVALS_WITHOUT_ACTIONS = Reason("intervals-without-actions", "annotated intervals without actions")
FRAME_ORDER_REVERSED = Reason("frames-reversed", "actions whose post frame is not after their pre frame, dropped")

LabelOf = Callable[[Record], str | None]


def read_verbs(reader: AnnotationReader) -> None:
    """Valid narrated actions, labeled by structured_verb."""
    _read(reader, "verbs", lambda action: optional_class(action, "structured_verb"))


def read_nouns(reader: AnnotationReader) -> None:
    """Valid narrated actions, labeled by the structured noun of the object of change."""
    _read(reader, "nouns", _object_of_change)


KINDS = (
    AnnotationKind("fho-verbs", (FILE,), read_verbs, ClassWords.VERBS),
    AnnotationKind("fho-nouns", (FILE,), read_nouns, ClassWords.NOUNS),
)


@dataclass
class _Video:
    """The video whose actions are read. action_uids: those read so far, of all videos."""

    uid: str
    action_uids: set[str]
    intervals: set[tuple] = field(default_factory=set)


def _read(reader: AnnotationReader, words: str, label_of: LabelOf) -> None:
    reader.set_classes(fho_taxonomy(reader, TAXONOMY, words))
    splits = splits_of_fho_clips(reader)
    seen: set[str | None] = set()
    action_uids: set[str] = set()
    for entry in reader.entries(FILE, "videos"):
        uid = reader.video_uid(entry, None)
        if uid in seen:
            entry.drop(DUPLICATE, "video_uid", "another uid", detail="videos")
        if uid is not None and entry.is_valid:
            seen.add(uid)
            _read_video(reader, entry, _Video(uid, action_uids), splits, label_of)


def _read_video(
    reader: AnnotationReader, entry: Record, video: _Video, splits: dict[str, AssignedSplit], label_of: LabelOf
) -> None:
    for interval in entry.records("annotated_intervals") if entry.has("annotated_intervals") else ():
        clip_uid = interval.uid("clip_uid") if interval.has("clip_uid") else None
        if not (interval.is_valid and reader.is_clip_of(interval, clip_uid, video.uid)):
            continue
        if _is_new(interval, clip_uid, video.intervals) and _has_actions(reader, interval):
            split = split_of_fho_clip(splits, clip_uid, reader.metadata.videos[video.uid])
            for action in interval.records("narrated_actions"):
                _read_action(reader, action, video, clip_uid, split, label_of)


def _is_new(interval: Record, clip_uid: str | None, seen: set[tuple]) -> bool:
    """Whether this is the first interval of its clip and times; if not, it is dropped."""
    key = (clip_uid, str(interval.get("start_sec")), str(interval.get("end_sec")))
    if clip_uid is not None and key in seen:
        interval.drop(DUPLICATE, "clip_uid", "another uid", detail="clips")
        return False
    seen.add(key)
    return True


def _has_actions(reader: AnnotationReader, interval: Record) -> bool:
    """Whether an interval has actions; if not, it is counted."""
    is_empty = interval.get("narrated_actions") == []
    if not interval.has("narrated_actions") or (is_empty and interval.get("redacted") is True):
        reader.count(INTERVALS_WITHOUT_ACTIONS, "test set, not public")
        return False
    if is_empty:
        reader.count(INTERVALS_WITHOUT_ACTIONS, "no action annotated")
    return True


def _read_action(
    reader: AnnotationReader,
    action: Record,
    video: _Video,
    clip_uid: str | None,
    split: AssignedSplit | None,
    label_of: LabelOf,
) -> None:
    if not _is_usable(reader, action):
        return
    action_uid = action.text("uid", "the uid of an action") if action.has("uid") else None
    if action_uid is not None and action_uid in video.action_uids:
        action.drop(DUPLICATE, "uid", "a uid that no other action has", detail="actions")
    span, label = _span(reader, action, video.uid), label_of(action)
    if span is None or not action.is_valid:
        return
    if action_uid is not None:
        video.action_uids.add(action_uid)
    if split is None:
        reader.count(SKIPPED_ACTIONS, NO_SPLIT)
        return
    if label is None:
        reader.count(NO_CLASS)
    label = reader.known_label(action, "label", label)
    reader.add(action, Window(video.uid, *span, label, split.split, clip_uid), split.rule)


def _is_usable(reader: AnnotationReader, action: Record) -> bool:
    """Whether an action is valid, not rejected and has a stage; if not, it is counted."""
    flags = [action.flag(n) for n in ("is_valid_action", "is_rejected", "is_invalid_annotation") if action.has(n)]
    if not action.is_valid:
        return False
    if action.get("is_valid_action") is not True or any(flags[1:]):
        reader.count(SKIPPED_ACTIONS, REJECTED)
        return False
    if not action.has("stage"):
        reader.count(SKIPPED_ACTIONS, NO_STAGE)
        return False
    return True


def _span(reader: AnnotationReader, action: Record, uid: str) -> tuple[float, float] | None:
    if reader.options.fho_window == "critical":
        return _critical_span(reader, action, uid)
    return action.span("start_sec", "end_sec")


def _critical_span(reader: AnnotationReader, action: Record, uid: str) -> tuple[float, float] | None:
    """From the pre frame to the post frame, in seconds; None, and counted, if either is missing."""
    frames = action.get("critical_frames")
    numbers = [frames.get(name) if isinstance(frames, dict) else None for name in ("pre_frame", "post_frame")]
    valid = [n for n in numbers if isinstance(n, (int, float)) and not isinstance(n, bool)]
    if len(valid) < len(numbers):
        reader.count(SKIPPED_ACTIONS, NO_CRITICAL_FRAMES)
        return None
    first, last = valid
    if not 0 <= first < last < MAX_FRAMES:
        action.drop(FRAME_ORDER_REVERSED, "critical_frames", "pre_frame before post_frame")
        return None
    start_sec = reader.metadata.videos[uid].start_sec
    return start_sec + first / CANONICAL_FPS, start_sec + last / CANONICAL_FPS


def optional_class(record: Record, name: str) -> str | None:
    """The class that a field names; None if it is null, empty or stands for no class of the taxonomy."""
    value = record.get(name)
    is_class = record.has(name) and value not in NOT_A_CLASS and not (isinstance(value, str) and not value.strip())
    return record.text(name, "a class name, or null") if is_class else None


def _object_of_change(action: Record) -> str | None:
    """The first non-null noun of the object of change in the pnr frame, else in the next frame of FRAME_ORDER."""
    if not action.has("frames"):
        return None
    nouns: dict[int, str] = {}
    for frame in action.records("frames"):
        frame_type = frame.get("frame_type")
        rank = FRAME_ORDER.index(frame_type) if frame_type in FRAME_ORDER else len(FRAME_ORDER)
        for box in frame.records("boxes") if frame.has("boxes") else ():
            if box.get("object_type") == OBJECT_OF_CHANGE and rank not in nouns:
                noun = optional_class(box, "structured_noun")
                nouns |= {} if noun is None else {rank: noun}
    return nouns[min(nouns)] if nouns else None
