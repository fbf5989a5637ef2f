"""Object state change classification: windows of fho_oscc-pnr_*.json, and whether an object changes its state there."""

from embedonce.pipeline.sources.ego4d.reading import Reading, Window
from embedonce.pipeline.sources.ego4d.record import Record
from embedonce.pipeline.sources.ego4d.video_splits import SETS

FILES = {f"fho_oscc-pnr_{part}.json": split for part, split in SETS}
CLASSES = ("no object state change", "object state change")


def read_oscc(reading: Reading) -> None:
    """The windows, by `state_change`; those of the test file are unlabeled."""
    reading.use_classes(CLASSES)
    for file, split in FILES.items():
        seen: set[str] = set()
        for entry in reading.entries(file, "clips"):
            uid = reading.video(entry, split)
            clip_uid = entry.uid("clip_uid") if entry.has("clip_uid") else None
            span = entry.span("parent_start_sec", "parent_end_sec")
            label = _label(entry, split)
            if uid is None or not (entry.is_sound and _is_new(entry, seen)):
                continue
            if reading.is_of_its_video(entry, clip_uid, uid):
                reading.add(entry, Window(uid, *span, label, split, clip_uid), file)


def _label(entry: Record, split: str) -> str | None:
    if split == "test":
        return None
    if entry.get("state_change") is None:
        return entry.tell("entries whose `state_change` is null are unlabeled", "state_change", "true or false")
    is_changed = entry.flag("state_change")
    return None if is_changed is None else CLASSES[is_changed]


def _is_new(entry: Record, seen: set[str]) -> bool:
    """Whether an entry of this unique_id is the first one; if not, it is odd."""
    name = entry.get("unique_id")
    if not isinstance(name, str):
        return True
    if name in seen:
        entry.odd("clips are listed twice in a file and were taken once", "unique_id", "another id")
        return False
    seen.add(name)
    return True
