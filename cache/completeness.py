"""What a cache lacks, and what it holds besides: every file that its documents imply, held against what is on disk.

Reads documents and folders, changes nothing. Knows which document implies which file; damage within files is found
elsewhere.
"""

from collections.abc import Iterator
from pathlib import Path

from embedonce.cache import documents, witness
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import some
from embedonce.cache.files import exists, list_folder
from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlanPart
from embedonce.cache.reader import CacheReader
from embedonce.cache.witness import Lost

PARTS = ("clips", "revisions", "logits", "records")  # the folders of a label set
_KNOWN = {"cache.json", "manifest.json", "extract_config.yaml", "relabel_config.yaml", ".writer.lock"}
_FOLDERS = {"plan", "frames", "records", "labels", "quarantine", "removed", "attempts"}


def missing(
    reader: CacheReader, layout: Layout, plan: list[PlanPart], label_sets: list[str]
) -> Iterator[tuple[Lost, str]]:
    """(what is not there, a sentence) for every file that other documents imply.

    reader: of the readable records. label_sets: those whose documents can be read.
    """
    quarantined = {path.name: path for path in list_folder(layout.quarantine, ".json")}
    names = {name for name in _names(plan) if documents.file_of(name) in quarantined}
    manifest = witness.read_manifest(layout)
    told = set()
    if manifest is not None:
        listed = dict.fromkeys(n for n in manifest["quarantined"] if documents.file_of(n) in quarantined)
        for entry in witness.lost(layout, manifest, listed, _names(plan)):
            told.add(entry.path)
            yield entry, f"{entry.path} is missing: the manifest lists it"
    implied = [*_lost_quarantine(reader, layout, plan, names), *_lost_label_sets(layout)]
    for name in label_sets:
        implied += _lost_of_label_set(reader, layout, plan, name, manifest is None)
    for entry, sentence in implied:
        if entry.path not in told and not exists(entry.path):
            yield entry, sentence


def unfinished(reader: CacheReader, plan: list[PlanPart], name: str) -> tuple[int, int]:
    """(units without logits, plan parts without clips) of a label set that an interrupted run may not have finished."""
    labels = reader.label_set(name)
    units = set(reader.records) - reader.logits_units(name) if labels.has_logits else set()
    return len(units), len({part.part for part in plan} - set(reader.clip_parts(name)))


def extra(reader: CacheReader, layout: Layout, plan: list[PlanPart], label_sets: list[str]) -> Iterator[Path]:
    """Files and folders that no document of the cache implies. What is in such a folder is not looked at.

    reader, label_sets: as in missing().
    """
    suffix = BACKENDS[reader.identity.backend].suffix
    yield from _others(layout.root, _KNOWN | _FOLDERS)
    yield from _others(layout.plan, {f"{part.part:06d}.json" for part in plan})
    yield from _column(layout, None, suffix, reader.records)
    for folder in (layout.quarantine, layout.attempts):
        yield from _others(folder, {path.name for path in list_folder(folder, ".json")})
    yield from _others(layout.labels, set(reader.label_sets()))
    for name in label_sets:
        folder = layout.labels / name
        yield from _others(folder, {"label_set.json", "tensors.safetensors", *PARTS})
        for part in ("clips", "revisions"):
            yield from _others(folder / part, {path.name for path in list_folder(folder / part, ".json")})
        yield from _column(layout, name, suffix, reader.label_records(name))


def _column(layout: Layout, label_set: str | None, suffix: str, records: dict) -> Iterator[Path]:
    """Shards without a record, and whatever else lies beside shards and records. records: the readable ones."""
    shards, folder = layout.columns(label_set)
    paths = list_folder(folder, ".json")
    units = {path.stem for path in paths} - {unit for unit, record in records.items() if not record.num_rows}
    yield from _others(folder, {path.name for path in paths})
    yield from _others(shards, {f"{unit}{suffix}" for unit in units})


def _others(folder: Path, known: set[str]) -> list[Path]:
    return [path for path in list_folder(folder) if path.name not in known]


def _names(plan: list[PlanPart]) -> set[str]:
    return {video.uid for part in plan for video in part.videos}


def _lost_quarantine(reader: CacheReader, layout: Layout, plan: list[PlanPart], quarantined: set[str]):
    """Units are committed without the videos that are in quarantine, and without no others."""
    for unit in (unit for part in plan for unit in part.units if unit.name in reader.records):
        there = set(reader.records[unit.name].video_uids)
        for uid in {segment.video_uid for segment in unit.segments} - there - quarantined:
            path = layout.quarantine / documents.file_of(uid)
            yield Lost(path), f"{path} is missing: unit {unit.name} was committed without {uid}"


def _lost_label_sets(layout: Layout):
    for folder in list_folder(layout.labels):
        path = folder / "label_set.json"
        if folder.is_symlink() or not folder.is_dir() or path.exists():
            continue
        left = [str(file) for part in PARTS for file in list_folder(folder / part)]
        if left:
            yield (
                Lost(path, None, folder.name),
                f"{path} is missing: the folder holds {some(left, 1)} of that label set",
            )


def _lost_of_label_set(
    reader: CacheReader, layout: Layout, plan: list[PlanPart], name: str, without_manifest: bool
) -> Iterator[tuple[Lost, str]]:
    """without_manifest: no manifest says which logits there were, or which a repair took out."""
    folder, records = layout.labels / name, layout.columns(name)[1]
    parts, logits = set(reader.clip_parts(name)), reader.logits_units(name)
    labeled = {part.part for part in plan if any(unit.name in logits for unit in part.units)}
    needed = range(max(parts | labeled, default=-1) + 1)  # parts are published in order, and logits after them
    for part in sorted(set(needed) - parts):
        path = folder / "clips" / f"{part:06d}.json"
        yield Lost(path, None, name), f"{path} is missing: later files of label set {name} are there"
    for part in sorted(part for part in parts if plan and part >= len(plan)):
        path = layout.plan / f"{part:06d}.json"
        yield Lost(path), f"{path} is missing: label set {name} has clips over its videos"
    revisions = [int(path.stem) for path in list_folder(folder / "revisions", ".json") if path.stem.isdecimal()]
    for number in sorted(set(range(1, max(revisions, default=0) + 1)) - set(revisions)):
        path = folder / "revisions" / f"{number:06d}.json"
        yield Lost(path, None, name), f"{path} is missing: a later revision is there"
    for unit in sorted(reader.records) if without_manifest else ():
        if unit < max(logits, default="") and unit not in logits:
            path = records / f"{unit}.json"
            yield Lost(path, unit, name), f"{path} is missing: logits of later units are there"
