"""Everything that the cache of tests.crash_session gives out, door by door: what is given, and what is refused.

Knows which doors lead to which files; damages nothing.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from embedonce.cache import plan_documents
from embedonce.cache.errors import CacheError
from embedonce.cache.layout import Layout
from embedonce.cache.quarantine import read_quarantine
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.cache.stores.registry import Location
from embedonce.cache.timelines import VideoTimeline
from tests.support.crash_session import UNITS, plain

FRAMES = {f"frames {unit}" for unit, batch in UNITS.items() if batch.jpegs}
LOGITS, LABELS = {"logits 000000"}, {"label set", "tensors"}
TEACHER, EMBEDDINGS = {"teacher"}, {"embeddings 000000", "embeddings 000002"}
OF_READER = {"identity", "records", "timelines"} | FRAMES | LOGITS | LABELS | TEACHER | EMBEDDINGS


def given_and_refused(root: Location) -> tuple[dict[str, object], set[str]]:
    """(door -> what it gave, doors that refused). Behind a door that opened nothing may be refused any more."""
    given, refused = {}, set()
    doors: dict[str, Callable] = {
        "plan": lambda: partial(plain, plan_documents.read_plan(Layout.at(root).plan)),
        "quarantine": lambda: read_quarantine(Layout.at(root).quarantine).copy,
    }
    try:
        reader = open_reader(root)
        doors |= {name: partial(_open, reader, *name.split()) for name in sorted(OF_READER)}
    except CacheError:
        refused |= OF_READER
    for name, door in doors.items():
        try:
            read = door()
        except CacheError:
            refused.add(name)
        else:
            given[name] = read()
    return given, refused


def behind(path: Path, root: Path) -> set[str]:
    """The doors that must refuse where this file is damaged."""
    match path.relative_to(root).parts:
        case ("labels", _, "label_set.json"):
            return LABELS | LOGITS
        case ("labels", _, "tensors.safetensors"):
            return {"tensors"}
        case ("labels", _, "clips" | "revisions", _):
            return {"label set"} | LOGITS
        case ("labels", _, "logits" | "records", _):
            return LOGITS
        case ("teachers", _, "teacher.json"):
            return TEACHER | EMBEDDINGS
        case ("teachers", _, "records", _):
            return EMBEDDINGS
        case ("teachers", _, "columns", _):
            return {f"embeddings {path.stem}"}
        case ("frames", _):
            return {f"frames {path.stem}"}
        case ("plan" | "quarantine" as folder, _):
            return {folder}
        case _:
            return OF_READER


def _open(reader: CacheReader, kind: str, *arguments: str) -> Callable[[], object]:
    """What gives the data behind one door of a reader; CacheError where the door stays shut."""
    if kind == "frames":
        reader.frames(*arguments)
        return lambda: plain(reader.batch(*arguments))
    if kind == "logits":
        reader.logits("main", *arguments)
        return lambda: plain(reader.all_logits("main", *arguments))
    if kind == "embeddings":
        columns = (reader.teachers.all_embeddings, reader.teachers.all_crop_crc32)
        read = [column("second", *arguments) for column in columns]
        return lambda: plain(read)
    values = {
        "identity": lambda: plain(reader.identity),
        "records": lambda: {unit: plain(record.segments) for unit, record in reader.records.items()},
        "timelines": lambda: {uid: _timeline(reader.timeline(uid)) for uid in reader.video_uids},
        "label": lambda: plain(reader.label_set("main")),
        "tensors": lambda: reader.label_tensors("main"),
        "teacher": lambda: plain(reader.teachers.read("second").identity),
    }
    value = values[kind]()
    return lambda: value


def _timeline(timeline: VideoTimeline) -> tuple:
    columns = (timeline.k, timeline.t_sec, timeline.frame_sec, timeline.unit, timeline.row, timeline.views)
    return tuple(column.tolist() for column in columns)
