"""LTA (long-term anticipation): the action windows of fho_lta_*.json, one file per split."""

from embedonce.pipeline.sources.ego4d.annotations.fho import optional_class
from embedonce.pipeline.sources.ego4d.annotations.reader import AnnotationKind, AnnotationReader, ClassWords, Window
from embedonce.pipeline.sources.ego4d.annotations.splits import files_by_split
from embedonce.pipeline.sources.ego4d.annotations.taxonomies import fho_taxonomy
from embedonce.pipeline.sources.ego4d.parsing.notes import DUPLICATE, NO_CLASS, Reason
from embedonce.pipeline.sources.ego4d.parsing.record import Record

FILES = files_by_split("fho_lta")
TAXONOMY = "fho_lta_taxonomy.json"

ORDERED_BY_TIME = Reason("ordered-by-time", "actions ordered by time instead of `action_idx`")
LABEL_MISMATCH = Reason("label-mismatch", "entries whose class number and class name differ, kept unlabeled")


def read_verbs(reader: AnnotationReader) -> None:
    """The windows, labeled by verb."""
    _read(reader, "verbs", "verb")


def read_nouns(reader: AnnotationReader) -> None:
    """The windows, labeled by noun."""
    _read(reader, "nouns", "noun")


KINDS = (
    AnnotationKind("lta-verbs", tuple(FILES), read_verbs, ClassWords.VERBS),
    AnnotationKind("lta-nouns", tuple(FILES), read_nouns, ClassWords.NOUNS),
)


def _read(reader: AnnotationReader, words: str, name: str) -> None:
    reader.set_classes(fho_taxonomy(reader, TAXONOMY, words))
    for file, split in FILES.items():
        num_right, num_wrong = _read_file(reader, file, split, name)
        if num_wrong > num_right:
            expected = f"the numbers that {TAXONOMY} gives the {words}"
            shown = f"{num_wrong} of {num_wrong + num_right} with other numbers"
            reader.problems.add_file(reader.path_for_messages(file), expected, shown)


def _read_file(reader: AnnotationReader, file: str, split: str, name: str) -> tuple[int, int]:
    """(entries whose class number agrees with the taxonomy, entries whose number does not)"""
    numbers: set[tuple] = set()
    windows: set[Window] = set()
    num_right = num_wrong = 0
    for entry in reader.entries(file, "clips"):
        window = _read_window(reader, entry, name, split)
        if window is None:
            continue
        if window in windows:
            entry.drop(DUPLICATE, "clip_uid", "another action", detail="clips")
            continue
        windows.add(window)
        _check_action_idx(entry, window.clip_uid, numbers)
        is_right = _has_right_number(reader, entry, name, window.label)
        num_right, num_wrong = num_right + is_right, num_wrong + (not is_right)
        label = reader.known_label(entry, name, window.label) if is_right else None
        if window.label is None and split != "test":
            reader.count(NO_CLASS)
        clip_uid = None if window.clip_uid is None else reader.intern(window.clip_uid)
        reader.add(entry, Window(window.video_uid, window.start_sec, window.end_sec, label, split, clip_uid), file)
    return num_right, num_wrong


def _read_window(reader: AnnotationReader, entry: Record, name: str, split: str) -> Window | None:
    """The window as the file has it, with its label by name; None if the entry is invalid."""
    uid, clip_uid = reader.video_uid(entry, split), entry.uid("clip_uid")
    first_sec = entry.seconds("clip_parent_start_sec")
    span, label = entry.span("action_clip_start_sec", "action_clip_end_sec"), optional_class(entry, name)
    if uid is None or first_sec is None or span is None or not entry.is_valid:
        return None
    if not reader.is_clip_of(entry, clip_uid, uid):
        return None
    return Window(uid, first_sec + span[0], first_sec + span[1], label, split, clip_uid)


def _check_action_idx(entry: Record, clip_uid: str | None, seen: set[tuple]) -> None:
    """Note a missing or repeated action_idx. It only orders the actions of a clip, which their times do as well."""
    number = entry.get("action_idx")
    if isinstance(number, bool) or not isinstance(number, int):
        entry.note(ORDERED_BY_TIME, "action_idx", "a whole number", detail="not a number")
    elif (clip_uid, number) in seen:
        entry.note(ORDERED_BY_TIME, "action_idx", "a number that no other action of the clip has", detail="repeated")
    seen.add((clip_uid, str(number) if isinstance(number, (list, dict)) else number))


def _has_right_number(reader: AnnotationReader, entry: Record, name: str, label: str | None) -> bool:
    """Whether the class number, if there is one, is that of the class name in the taxonomy; noted if not."""
    number, classes = entry.get(f"{name}_label"), reader.classes or ()
    if label not in classes or isinstance(number, bool) or not isinstance(number, int):
        return True
    if 0 <= number < len(classes) and classes[number] == label:
        return True
    detail = f"{name}_label and {name}"
    entry.note(LABEL_MISMATCH, f"{name}_label", f"the position of {label!r} in the taxonomy", detail=detail)
    return False
