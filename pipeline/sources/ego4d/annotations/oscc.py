"""OSCC (object state change classification): the windows of fho_oscc-pnr_*.json, one file per split."""

from embedonce.pipeline.sources.ego4d.annotations.reader import AnnotationKind, AnnotationReader, ClassWords, Window
from embedonce.pipeline.sources.ego4d.annotations.splits import files_by_split
from embedonce.pipeline.sources.ego4d.parsing.notes import DUPLICATE, Reason
from embedonce.pipeline.sources.ego4d.parsing.record import Record

FILES = files_by_split("fho_oscc-pnr")
CLASSES = ("no object state change", "object state change")

NULL_STATE_CHANGE = Reason("null-state-change", "windows whose `state_change` is null, kept unlabeled")


def read_oscc(reader: AnnotationReader) -> None:
    """The windows, labeled by `state_change`; those of the test file are unlabeled."""
    reader.set_classes(CLASSES)
    for file, split in FILES.items():
        seen: set[str] = set()
        for entry in reader.entries(file, "clips"):
            uid = reader.video_uid(entry, split)
            clip_uid = entry.uid("clip_uid") if entry.has("clip_uid") else None
            span = entry.span("parent_start_sec", "parent_end_sec")
            label = None if split == "test" else _read_label(entry)
            if uid is None or span is None or not (entry.is_valid and _is_new(entry, seen)):
                continue
            if reader.is_clip_of(entry, clip_uid, uid):
                reader.add(entry, Window(uid, *span, label, split, clip_uid), file)


KINDS = (AnnotationKind("oscc", tuple(FILES), read_oscc, ClassWords.SENTENCES),)


def _read_label(entry: Record) -> str | None:
    if entry.get("state_change") is None:
        entry.note(NULL_STATE_CHANGE, "state_change", "true or false")
        return None
    is_changed = entry.flag("state_change")
    return None if is_changed is None else CLASSES[is_changed]


def _is_new(entry: Record, seen: set[str]) -> bool:
    """Whether this is the first entry with its unique_id; if not, it is dropped."""
    unique_id = entry.get("unique_id")
    if not isinstance(unique_id, str):
        return True
    if unique_id in seen:
        entry.drop(DUPLICATE, "unique_id", "another id", detail="clips")
        return False
    seen.add(unique_id)
    return True
