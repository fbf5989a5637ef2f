"""Converting a cache to another back end, with the same plan, units, rows, labels and provenance.

Uses the writer's commits, so it can be interrupted at any time and run again.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from embedonce.cache.errors import CacheError, IdentityMismatchError
from embedonce.cache.files import read_file
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record, segment_document
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.writer import CacheWriter

CONFIG = "extract_config.yaml"

OnProgress = Callable[[int, int], None]  # shards done, of how many


def convert(source: Path, target: Path, backend: str, on_progress: OnProgress = lambda done, total: None) -> int:
    """Copy the cache in source to target; returns the number of shards written. on_progress: called after each.

    CacheError if target is another cache, contains source or is inside it, or source is damaged; what was written so
    far stays and is sound.
    """
    _refuse_overlap(source, target)
    reader = open_reader(source)
    identity = replace(reader.identity, backend=backend)
    plan = reader.plan()
    writer = open_writer(target, identity)
    try:
        _check_target(reader, writer)
        writer.copy_plan(plan)
        done = _copy_frames(reader, writer, on_progress)
        for name in reader.label_sets():
            done += _copy_label_set(reader, writer, name)
        for name, video in reader.quarantined().items():
            writer.quarantine(name, video)
        if (source / CONFIG).is_file():
            writer.write_sidecar(CONFIG, read_file(source / CONFIG).decode())
        writer.write_manifest()
        return done
    finally:
        writer.close()
        reader.close()


def _refuse_overlap(source: Path, target: Path) -> None:
    """CacheError if the two folders are the same, or one is inside the other, also through symbolic links."""
    if _is_within(target, source):
        where = "itself" if _is_within(source, target) else "a folder inside it"
        raise CacheError(f"{source} cannot be converted into {where} ({target}); choose another folder")
    if _is_within(source, target):
        raise CacheError(f"{source} is inside {target} and cannot be converted into it; choose another folder")


def _is_within(inner: Path, outer: Path) -> bool:
    """Whether inner is outer, or anywhere below it."""
    place = inner.resolve()
    return any(_is_same(folder, outer) for folder in (place, *place.parents))


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:  # one of them does not exist
        return folder == other.resolve()


def _check_target(reader: CacheReader, writer: CacheWriter) -> None:
    """IdentityMismatchError if the target is another cache, not an interrupted conversion of this one."""
    problem = "a longer plan" if len(writer.plan) > len(reader.plan()) else ""
    for unit, record in writer.reader().records.items():
        if unit in reader.records and not _is_copy(record, reader.records[unit]):
            problem = problem or f"other rows or provenance of unit {unit}"
    if problem:
        raise IdentityMismatchError(
            f"{writer.directory} is another cache: it has {problem}. Nothing was changed; choose another folder"
        )


def _is_copy(record: Record, original: Record) -> bool:
    segments = [[segment_document(segment) for segment in of.segments] for of in (record, original)]
    return segments[0] == segments[1] and record.provenance == original.provenance


def _copy_frames(reader: CacheReader, writer: CacheWriter, on_progress: OnProgress) -> int:
    copied = writer.committed_units()
    lacking = [unit for unit in reader.records if unit not in copied]
    for count, unit in enumerate(lacking, 1):
        writer.commit_frames(unit, reader.batch(unit), reader.records[unit].provenance)
        reader.close()
        on_progress(count, len(lacking))
    return len(lacking)


def _copy_clips(reader: CacheReader, writer: CacheWriter, name: str) -> None:
    """Copy the current clips; an interrupted conversion may have copied earlier ones."""
    parts, copied = reader.clip_parts(name), writer.reader().clip_parts(name)
    if any(copied[part] != clips for part, clips in parts.items() if part in copied):
        writer.revise_clips(name, [list(parts.get(part, ())) for part in range(1 + max(parts))])
        return
    for part, clips in parts.items():
        writer.publish_clips(name, part, list(clips))


def _copy_label_set(reader: CacheReader, writer: CacheWriter, name: str) -> int:
    labels = reader.label_set(name)
    writer.create_label_set(replace(labels, clips=()), reader.label_tensors(name))
    _copy_clips(reader, writer, name)
    copied = writer.reader().logits_units(name)
    lacking = {unit: record for unit, record in reader.label_records(name).items() if unit not in copied}
    for unit, record in lacking.items():
        frames = reader.records[unit]
        writer.commit_logits(name, unit, frames.keys, reader.all_logits(name, unit), record.provenance)
        reader.close()
    return len(lacking)
