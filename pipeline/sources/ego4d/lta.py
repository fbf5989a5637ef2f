"""Long-term anticipation: the action windows of fho_lta_*.json, whose files are its splits."""

from embedonce.pipeline.sources.ego4d.fho import optional_class
from embedonce.pipeline.sources.ego4d.reading import Reading, Window
from embedonce.pipeline.sources.ego4d.record import Record
from embedonce.pipeline.sources.ego4d.taxonomy import fho_taxonomy
from embedonce.pipeline.sources.ego4d.video_splits import SETS

FILES = {f"fho_lta_{part}.json": split for part, split in SETS}
TAXONOMY = "fho_lta_taxonomy.json"


def read_verbs(reading: Reading) -> None:
    """The windows by verb."""
    _read(reading, "verbs", "verb")


def read_nouns(reading: Reading) -> None:
    """The windows by noun."""
    _read(reading, "nouns", "noun")


def _read(reading: Reading, words: str, name: str) -> None:
    reading.use_classes(fho_taxonomy(reading, TAXONOMY, words))
    for file, split in FILES.items():
        numbers: set[tuple] = set()
        windows: set[Window] = set()
        right = wrong = 0
        for entry in reading.entries(file, "clips"):
            window = _window(reading, entry, name, split)
            if window is None:
                continue
            if window in windows:
                entry.odd("clips are listed twice in a file and were taken once", "clip_uid", "another action")
                continue
            windows.add(window)
            _check_number(entry, window.clip_uid, numbers)
            is_right = _is_right_number(reading, entry, name, window.label)
            right, wrong = right + is_right, wrong + (not is_right)
            label = reading.checked(entry, name, window.label) if is_right else None
            if window.label is None and split != "test":
                reading.counts["actions name no class and are unlabeled"] += 1
            reading.add(entry, Window(*_place(window), label, split, reading.interned(window.clip_uid)), file)
        if wrong > right:
            expected = f"the numbers that {TAXONOMY} gives the {words}"
            reading.problems.add_file(reading.name(file), expected, f"{wrong} of {wrong + right} that are others")


def _window(reading: Reading, entry: Record, name: str, split: str) -> Window | None:
    """The window as the file has it, its label by name; None where the entry is odd."""
    uid, clip_uid = reading.video(entry, split), entry.uid("clip_uid")
    first_sec = entry.seconds("clip_parent_start_sec")
    span, label = entry.span("action_clip_start_sec", "action_clip_end_sec"), optional_class(entry, name)
    is_sound = uid is not None and entry.is_sound and reading.is_of_its_video(entry, clip_uid, uid)
    return Window(uid, first_sec + span[0], first_sec + span[1], label, split, clip_uid) if is_sound else None


def _place(window: Window) -> tuple[str, float, float]:
    return window.video_uid, window.start_sec, window.end_sec


def _check_number(entry: Record, clip_uid: str | None, seen: set[tuple]) -> None:
    """Tell where an action of a clip has no number, or another one's: it only says the order, which times do, too."""
    number = entry.get("action_idx")
    if isinstance(number, bool) or not isinstance(number, int):
        entry.tell("actions have no `action_idx` and were ordered by time", "action_idx", "a whole number")
    elif (clip_uid, number) in seen:
        expected = "a number that no other action of the clip has"
        entry.tell("actions repeat an `action_idx` of their clip and were ordered by time", "action_idx", expected)
    seen.add((clip_uid, str(number) if isinstance(number, (list, dict)) else number))


def _is_right_number(reading: Reading, entry: Record, name: str, label: str | None) -> bool:
    """Whether a class's number, where there is one, means what its name says; told where not."""
    number, classes = entry.get(f"{name}_label"), reading.classes
    if label not in (classes or ()) or isinstance(number, bool) or not isinstance(number, int):
        return True
    if 0 <= number < len(classes) and classes[number] == label:
        return True
    reason = f"entries whose `{name}_label` is another class than their `{name}` are unlabeled"
    entry.tell(reason, f"{name}_label", f"the place of {label!r} in the taxonomy")
    return False
