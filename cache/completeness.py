"""Comparing a cache's documents with its folders: files that are missing, and files that nothing refers to."""

import contextlib
from collections.abc import Iterator

from embedonce.cache import manifest as manifests
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import DamagedError, some
from embedonce.cache.layout import (
    CONTINUED,
    FILE_FINGERPRINTS,
    Column,
    Layout,
    TeacherColumn,
    continued_folder,
    numbered_file,
    teacher_files,
)
from embedonce.cache.manifest import LostFile
from embedonce.cache.plan import PlanPart
from embedonce.cache.quarantine import file_name
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record
from embedonce.cache.stores.stored_path import StoredPath

LABEL_SET_FOLDERS = ("clips", "revisions", "logits", "records")
_FILES = {
    *("cache.json", "manifest.json", "extract_config.yaml", "relabel_config.yaml", ".writer.lock", "removal.json"),
    FILE_FINGERPRINTS,
}
_FOLDERS = {"plan", "frames", "records", "labels", "quarantine", "removed", "attempts", "withdrawn", "teachers"}


def missing_files(
    reader: CacheReader, layout: Layout, plan: list[PlanPart], label_sets: list[str], manifest: dict | None
) -> Iterator[tuple[LostFile, str]]:
    """(file, message) for every file that other documents imply and that does not exist.

    reader: with the records that can be read. label_sets: those whose documents can be read. manifest: None if it
    cannot be.
    """
    documents = {path.name for path in layout.quarantine.list(".json")}
    planned = {video.uid for part in plan for video in part.videos}
    reported = set()
    if manifest is not None:
        quarantined = {name for name in manifest["quarantined"] if file_name(name) in documents}
        for lost in manifests.lost_files(layout, manifest, quarantined, planned):
            reported.add(lost.path)
            yield lost, f"{lost.path} is missing: the manifest lists it"
    quarantined = {uid for uid in planned if file_name(uid) in documents}
    implied = [
        *_missing_quarantine(reader, layout, plan, quarantined),
        *_missing_label_sets(layout),
        *_missing_teachers(layout),
    ]
    for name in label_sets:
        implied += _missing_of_label_set(reader, layout, plan, name, has_manifest=manifest is not None)
    for lost, message in implied:
        if lost.path not in reported and not lost.path.exists():
            yield lost, message


def unfinished(reader: CacheReader, plan: list[PlanPart], name: str) -> tuple[int, int]:
    """(units without logits, plan parts without clips) of a label set that an interrupted run may not have finished."""
    labels = reader.label_set(name)
    units = set(reader.records) - reader.logits_units(name) if labels.has_logits else set()
    return len(units), len({part.part for part in plan} - set(reader.clip_parts(name)))


def extra_files(
    reader: CacheReader, layout: Layout, plan: list[PlanPart], label_sets: list[str]
) -> Iterator[StoredPath]:
    """Files and folders that no document of the cache refers to. Such folders are not searched.

    reader, label_sets: as in missing_files().
    """
    yield from _others(layout.root, _FILES | _FOLDERS | _names(layout.manifest))
    yield from _others(layout.plan, {path.name for path in layout.plan.list(".json")})
    yield from _extra_of_column(layout, None, reader, reader.records)
    for folder in (layout.quarantine, layout.attempts):
        yield from _others(folder, {path.name for path in folder.list(".json")})
    yield from _others(layout.labels, set(reader.label_sets()))
    for name in label_sets:
        folder = layout.labels / name
        texts, store = layout.texts_document(name), reader.texts(name)
        known = {*_names(layout.label_set_document(name)), *_names(texts), store.folder.name}
        yield from _others(folder, {*known, "tensors.safetensors", *LABEL_SET_FOLDERS})
        with contextlib.suppress(DamagedError):  # which is a problem of its own
            yield from store.unlisted(store.read())
        for inner in ("clips", "revisions"):
            yield from _others(folder / inner, set().union(*map(_names, (folder / inner).list(".json"))))
        if reader.label_set(name).computes_logits:
            yield from (path for folder in layout.logit_paths(name) for path in folder.list())
        else:
            yield from _extra_of_column(layout, name, reader, reader.label_records(name))
    yield from _extra_of_teachers(layout, reader)


def _extra_of_teachers(layout: Layout, reader: CacheReader) -> Iterator[StoredPath]:
    names = reader.teachers.names()
    yield from _others(layout.teachers, set(names))
    for name in names:
        document, inner = layout.teacher_document(name), layout.teacher_paths(name)
        settings = layout.teacher_settings(name)
        yield from _others(document.parent, {document.name, settings.name, *(folder.name for folder in inner)})
        with contextlib.suppress(DamagedError):  # then nothing is known of what it has
            yield from _extra_of_column(layout, TeacherColumn(name), reader, reader.teachers.records(name))


def _extra_of_column(
    layout: Layout, column: Column, reader: CacheReader, records: dict[str, Record]
) -> Iterator[StoredPath]:
    """Shards without a record, and other files in the two folders of a column. records: those that can be read."""
    shards, folder = layout.column_paths(column)
    paths, suffix = folder.list(".json"), BACKENDS[reader.identity.backend].suffix
    units = {path.stem for path in paths} - {unit for unit, record in records.items() if not record.num_rows}
    yield from _others(folder, {path.name for path in paths})
    yield from _others(shards, {f"{unit}{suffix}" for unit in units})


def _names(document: StoredPath) -> set[str]:
    """The names of a document and of the folder that it may be continued in."""
    return {document.name, continued_folder(document).name}


def _others(folder: StoredPath, known: set[str]) -> list[StoredPath]:
    return [path for path in folder.list() if path.name not in known and not _is_emptied(path)]


def _is_emptied(path: StoredPath) -> bool:
    """Whether it is the folder of continuations that a repair moved away."""
    return path.name.endswith(CONTINUED) and path.is_folder() and not path.list()


def _missing_quarantine(
    reader: CacheReader, layout: Layout, plan: list[PlanPart], quarantined: set[str]
) -> Iterator[tuple[LostFile, str]]:
    """A committed unit lacks exactly the videos that are in quarantine."""
    for unit in (unit for part in plan for unit in part.units if unit.name in reader.records):
        committed = set(reader.records[unit.name].video_uids)
        for uid in {segment.video_uid for segment in unit.segments} - committed - quarantined:
            path = layout.quarantine / file_name(uid)
            yield LostFile(path), f"{path} is missing: unit {unit.name} was committed without {uid}"


def _missing_label_sets(layout: Layout) -> Iterator[tuple[LostFile, str]]:
    for folder in layout.labels.list():
        path = folder / "label_set.json"
        if not folder.is_folder() or path.exists():
            continue
        left = [str(file) for inner in LABEL_SET_FOLDERS for file in (folder / inner).list()]
        if left:
            message = f"{path} is missing: the folder holds {some(left, 1)} of that label set"
            yield LostFile(path, None, folder.name), message


def _missing_teachers(layout: Layout) -> Iterator[tuple[LostFile, str]]:
    for folder in (path for path in layout.teachers.list() if path.is_folder()):
        path, left = layout.teacher_document(folder.name), teacher_files(layout, folder.name)
        if left and not path.exists():
            message = f"{path} is missing: the folder holds {some(map(str, left), 1)} of that teacher"
            yield LostFile(path, teacher=folder.name), message


def _missing_of_label_set(
    reader: CacheReader, layout: Layout, plan: list[PlanPart], name: str, *, has_manifest: bool
) -> Iterator[tuple[LostFile, str]]:
    """has_manifest: a manifest shows which logits were committed, and which of them a repair took away."""
    folder = layout.labels / name
    parts, logits = set(reader.clip_parts(name)), set(reader.label_records(name))
    labeled = {part.part for part in plan if any(unit.name in logits for unit in part.units)}
    needed = range(max(parts | labeled, default=-1) + 1)  # parts are published in order, and logits after them
    for part in sorted(set(needed) - parts):
        path = folder / "clips" / numbered_file(part)
        yield LostFile(path, None, name), f"{path} is missing: later files of label set {name} exist"
    for part in sorted(part for part in parts if plan and part >= len(plan)):
        path = layout.plan_part(part)
        yield LostFile(path), f"{path} is missing: label set {name} has clips over its videos"
    revisions = [int(path.stem) for path in (folder / "revisions").list(".json") if path.stem.isdecimal()]
    for number in sorted(set(range(1, max(revisions, default=0) + 1)) - set(revisions)):
        path = folder / "revisions" / numbered_file(number)
        yield LostFile(path, None, name), f"{path} is missing: a later revision exists"
    if has_manifest:
        return
    for unit in sorted(reader.records):
        if unit < max(logits, default="") and unit not in logits:
            path = layout.logit_paths(name).records / f"{unit}.json"
            yield LostFile(path, unit, name), f"{path} is missing: logits of later units exist"
