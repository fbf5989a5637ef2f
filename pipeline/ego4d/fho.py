"""Forecasting, hands and objects: actions of fho_main.json, the 8-second windows of fho_lta_*.json, their splits."""

from collections import Counter

from pipeline.ego4d.reading import Reading, Window
from pipeline.ego4d.record import Record
from pipeline.ego4d.taxonomy import fho_taxonomy

MAIN = ("fho_main.json",)
SETS = (("train", "train"), ("val", "val"), ("test_unannotated", "test"))  # part of the file's name, split
LTA = tuple(f"fho_lta_{part}.json" for part, _ in SETS)
BENCHMARKS = {"lta": "clips", "sta": "annotations", "oscc-pnr": "clips"}  # say which clip is in which split: their list
FRAME_ORDER = ("pnr_frame", "contact_frame", "pre_frame", "post_frame", "pre_15", "pre_30", "pre_45")
OBJECT_OF_CHANGE = "object_of_change"
OTHER = ("", "[other]", "other")  # in the place of a class


def read_main_verbs(reading: Reading) -> None:
    """Valid narrated actions, by structured_verb."""
    _read_main(reading, "verbs", lambda action: _optional(action, "structured_verb"))


def read_main_nouns(reading: Reading) -> None:
    """Valid narrated actions, by the structured noun of the object that changes."""
    _read_main(reading, "nouns", _object_of_change)


def read_lta_verbs(reading: Reading) -> None:
    """The action windows of long-term anticipation, by verb."""
    _read_lta(reading, "verbs", "verb")


def read_lta_nouns(reading: Reading) -> None:
    """The action windows of long-term anticipation, by noun."""
    _read_lta(reading, "nouns", "noun")


def _read_main(reading: Reading, words: str, label_of) -> None:
    reading.use_classes(fho_taxonomy(reading, "fho_main_taxonomy.json", words))
    splits = clip_splits(reading)
    seen: set[str] = set()
    for video in reading.entries(MAIN[0], "videos"):
        uid = reading.video(video, None)
        if uid is None:
            continue
        for interval in video.records("annotated_intervals") if video.has("annotated_intervals") else ():
            clip_uid = interval.uid("clip_uid") if interval.has("clip_uid") else None
            reading.check_clip(interval, clip_uid, uid)
            if not interval.is_sound:
                continue
            if not interval.has("narrated_actions"):  # the test set: no actions are public
                reading.counts["annotated intervals are of the test set and have no public actions"] += 1
                continue
            for action in interval.records("narrated_actions"):
                _read_action(reading, action, (uid, clip_uid, splits.get(clip_uid)), label_of, seen)


def _read_action(reading: Reading, action: Record, place: tuple, label_of, seen: set[str]) -> None:
    uid, clip_uid, split = place
    flags = [action.flag(n) for n in ("is_valid_action", "is_rejected", "is_invalid_annotation") if action.has(n)]
    if not action.is_sound:
        return
    is_valid = action.get("is_valid_action") is True and not any(flags[1:]) and action.has("stage")
    if not is_valid:
        reading.counts["actions are rejected, invalid or unfinished and were left out"] += 1
        return
    span, label = action.span("start_sec", "end_sec"), label_of(action)
    action_uid = action.text("uid", "the uid of an action") if action.has("uid") else None
    if action_uid in seen:
        action.wrong("uid", "a uid that no other action has")
    if not action.is_sound:
        return
    if action_uid is not None:
        seen.add(action_uid)
    label = reading.checked(action, "label", label)
    if action.is_sound:
        if label is None:
            reading.counts["actions name no class and are unlabelled"] += 1
        reading.add(action, Window(uid, *span, label, split, clip_uid))


def _optional(record: Record, name: str) -> str | None:
    """The class that a field names; None where it is null, empty or nothing of the taxonomy."""
    return record.text(name, "a class name, or null") if record.has(name) and record.get(name) not in OTHER else None


def _object_of_change(action: Record) -> str | None:
    """The noun that most frames name; of several, the one of the frame that tells most."""
    if not action.has("frames"):
        return None
    found: list[tuple[int, str]] = []
    for frame in action.records("frames"):
        kind = frame.get("frame_type")
        place = FRAME_ORDER.index(kind) if kind in FRAME_ORDER else len(FRAME_ORDER)
        for box in frame.records("boxes") if frame.has("boxes") else ():
            noun = _optional(box, "structured_noun") if box.get("object_type") == OBJECT_OF_CHANGE else None
            action.is_sound &= box.is_sound
            if noun is not None:
                found.append((place, noun))
    if not found:
        return None
    counts = Counter(noun for _, noun in found)
    return min(found, key=lambda pair: (-counts[pair[1]], pair))[1]


def _read_lta(reading: Reading, words: str, name: str) -> None:
    reading.use_classes(fho_taxonomy(reading, "fho_lta_taxonomy.json", words))
    for file, (_, split) in zip(LTA, SETS, strict=True):
        seen: set[tuple] = set()
        for entry in reading.entries(file, "clips"):
            uid, clip_uid = reading.video(entry, split), entry.uid("clip_uid")
            first_sec = entry.seconds("clip_parent_start_sec")
            span, label = entry.span("action_clip_start_sec", "action_clip_end_sec"), _lta_label(reading, entry, name)
            number = entry.get("action_idx")
            if isinstance(number, bool) or not isinstance(number, int):
                entry.wrong("action_idx", "a whole number")
            if (clip_uid, number) in seen:
                entry.wrong("action_idx", "a number that no other action of the clip has")
            if uid is not None:
                reading.check_clip(entry, clip_uid, uid)
            if uid is None or not entry.is_sound:
                continue
            seen.add((clip_uid, number))
            window = Window(uid, first_sec + span[0], first_sec + span[1], label, split, reading.interned(clip_uid))
            reading.add(entry, window)


def _lta_label(reading: Reading, entry: Record, name: str) -> str | None:
    """The class, by its name; its number must mean the same."""
    label, number = _optional(entry, name), entry.get(f"{name}_label")
    if label is None or reading.classes is None:
        return label
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if is_number and not (0 <= number < len(reading.classes) and reading.classes[number] == label):
        return entry.wrong(f"{name}_label", f"the place of {label!r} in the taxonomy")
    return reading.checked(entry, name, label)


def clip_splits(reading: Reading) -> dict[str | None, str]:
    """The split of each clip, by the benchmark files that list it; the first of BENCHMARKS that does decides."""
    splits: dict[str | None, str] = {}
    for benchmark, key in BENCHMARKS.items():
        for part, split in SETS:
            for entry in reading.entries(f"fho_{benchmark}_{part}.json", key):
                clip_uid = entry.uid("clip_uid") if entry.has("clip_uid") else None
                if clip_uid is not None and splits.setdefault(clip_uid, split) != split:
                    reading.counts["entries of FHO files put a clip into another split than an earlier file"] += 1
    return splits
