"""Forecasting, hands and objects: the actions of fho_main.json."""

from embedonce.pipeline.sources.ego4d.reading import Reading, Window
from embedonce.pipeline.sources.ego4d.record import Record
from embedonce.pipeline.sources.ego4d.taxonomy import fho_taxonomy
from embedonce.pipeline.sources.ego4d.video_splits import clip_splits, split_of_fho_clip

MAIN = ("fho_main.json",)
MAX_FRAMES = 1e9
CANONICAL_FPS = 30.0  # of all canonical videos; critical frames are numbers of these
FRAME_ORDER = ("pnr_frame", "contact_frame", "pre_frame", "post_frame", "pre_15", "pre_30", "pre_45")
OBJECT_OF_CHANGE = "object_of_change"
OTHER = ("", "[other]", "other")  # in the place of a class


def read_main_verbs(reading: Reading) -> None:
    """Valid narrated actions, by structured_verb."""
    _read_main(reading, "verbs", lambda action: optional_class(action, "structured_verb"))


def read_main_nouns(reading: Reading) -> None:
    """Valid narrated actions, by the structured noun of the object that changes."""
    _read_main(reading, "nouns", _object_of_change)


def _read_main(reading: Reading, words: str, label_of) -> None:
    reading.use_classes(fho_taxonomy(reading, "fho_main_taxonomy.json", words))
    splits, seen = clip_splits(reading), set()
    actions: set[str] = set()
    for video in reading.entries(MAIN[0], "videos"):
        uid = reading.video(video, None)
        if uid in seen:
            video.odd("videos are listed twice in a file and were taken once", "video_uid", "another uid")
        if uid is None or not video.is_sound:
            continue
        seen.add(uid)
        facts, intervals = reading.metadata.videos[uid], set()
        for interval in video.records("annotated_intervals") if video.has("annotated_intervals") else ():
            clip_uid = interval.uid("clip_uid") if interval.has("clip_uid") else None
            if not (interval.is_sound and reading.is_of_its_video(interval, clip_uid, uid)):
                continue
            if not _is_new(interval, clip_uid, intervals):
                continue
            place = (uid, clip_uid, split_of_fho_clip(splits, clip_uid, facts))
            _read_interval(reading, interval, place, label_of, actions)


def _is_new(interval: Record, clip_uid: str | None, seen: set[tuple]) -> bool:
    """Whether an interval of this clip and these times is the first one; if not, it is odd."""
    key = (clip_uid, str(interval.get("start_sec")), str(interval.get("end_sec")))
    if clip_uid is not None and key in seen:
        interval.odd("clips are listed twice in a video and were taken once", "clip_uid", "another uid")
        return False
    seen.add(key)
    return True


def _read_interval(reading: Reading, interval: Record, place: tuple, label_of, actions: set[str]) -> None:
    """place: (uid of the video, of the clip, its split and what gave it, or None)."""
    is_empty = interval.get("narrated_actions") == []
    if not interval.has("narrated_actions") or (is_empty and interval.get("redacted") is True):
        reading.counts["annotated intervals are of the test set and have no public actions"] += 1
        return
    if is_empty:
        reading.counts["annotated intervals have no actions"] += 1
    for action in interval.records("narrated_actions"):
        _read_action(reading, action, place, label_of, actions)


def _read_action(reading: Reading, action: Record, place: tuple, label_of, seen: set[str]) -> None:
    uid, clip_uid, split = place
    if not _counts(reading, action):
        return
    action_uid = action.text("uid", "the uid of an action") if action.has("uid") else None
    if action_uid is not None and action_uid in seen:
        action.odd("actions are listed twice and were taken once", "uid", "a uid that no other action has")
    span = _critical(reading, action, uid) if reading.fho_window == "critical" else action.span("start_sec", "end_sec")
    label = label_of(action)
    if span is None or not action.is_sound:
        return
    seen.add(action_uid)
    if split is None:
        reading.counts["actions are of clips that no FHO file or split_fho puts into a split and were left out"] += 1
        return
    if label is None:
        reading.counts["actions name no class and are unlabeled"] += 1
    label = reading.checked(action, "label", label)
    reading.add(action, Window(uid, *span, label, split[0], clip_uid), split[1])


def _counts(reading: Reading, action: Record) -> bool:
    """Whether an action is valid, not rejected and finished; if not, it is counted."""
    flags = [action.flag(n) for n in ("is_valid_action", "is_rejected", "is_invalid_annotation") if action.has(n)]
    if not action.is_sound:
        return False
    if action.get("is_valid_action") is not True or any(flags[1:]):
        reading.counts["actions are rejected or invalid and were left out"] += 1
        return False
    if not action.has("stage"):
        reading.counts["actions have no stage and were left out, as in the official notebook (others keep them)"] += 1
        return False
    return True


def _critical(reading: Reading, action: Record, uid: str) -> tuple[float, float] | None:
    """From the pre frame to the post frame, in seconds; None, and counted, where they are not there."""
    frames = action.get("critical_frames")
    numbers = [frames.get(name) if isinstance(frames, dict) else None for name in ("pre_frame", "post_frame")]
    if any(isinstance(number, bool) or not isinstance(number, (int, float)) for number in numbers):
        reading.counts["actions have no pre and post frame and were left out (--fho-window critical)"] += 1
        return None
    first, last = numbers
    if not 0 <= first < last < MAX_FRAMES:
        return action.odd("actions have a post frame that is not after their pre frame", "critical_frames", "in order")
    start_sec = reading.metadata.videos[uid].start_sec
    return start_sec + first / CANONICAL_FPS, start_sec + last / CANONICAL_FPS


def optional_class(record: Record, name: str) -> str | None:
    """The class that a field names; None where it is null, empty or nothing of the taxonomy."""
    value = record.get(name)
    is_named = record.has(name) and value not in OTHER and not (isinstance(value, str) and not value.strip())
    return record.text(name, "a class name, or null") if is_named else None


def _object_of_change(action: Record) -> str | None:
    """The first noun that is not null of the object of change in the pnr frame; else in the next of FRAME_ORDER."""
    if not action.has("frames"):
        return None
    nouns: dict[int, str] = {}
    for frame in action.records("frames"):
        kind = frame.get("frame_type")
        place = FRAME_ORDER.index(kind) if kind in FRAME_ORDER else len(FRAME_ORDER)
        for box in frame.records("boxes") if frame.has("boxes") else ():
            if box.get("object_type") == OBJECT_OF_CHANGE and place not in nouns:
                noun = optional_class(box, "structured_noun")
                nouns |= {} if noun is None else {place: noun}
    return nouns[min(nouns)] if nouns else None
