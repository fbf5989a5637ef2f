"""Converting a cache to another back end, with the same plan, units, rows, labels, added teachers and provenance.

Uses the writer's commits, so it can be interrupted at any time and run again.
"""

from collections.abc import Callable, Container
from dataclasses import replace

from embedonce.cache.errors import CacheError, IdentityMismatchError
from embedonce.cache.layout import Layout
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record, segment_document
from embedonce.cache.removal_document import read_removal
from embedonce.cache.store import has_cache, open_reader, open_writer
from embedonce.cache.stores.base import Store
from embedonce.cache.stores.registry import Location, open_store
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.withdrawn import copy_withdrawn
from embedonce.cache.writer import CacheWriter

CONFIG = "extract_config.yaml"

OnProgress = Callable[[int, int], None]  # shards done, of how many


def convert(
    source: Location,
    target: Location,
    backend: str,
    on_progress: OnProgress = lambda done, total: None,
    on_size: Callable[[int], None] = lambda num_bytes: None,
) -> int:
    """Copy the cache at source to target; returns the number of shards written. on_progress: called after each.

    on_size: called with about the bytes that will be written, before anything is; may raise an error.
    CacheError if target is another cache, contains source or is inside it, or source is damaged; what was written so
    far stays and is sound.
    """
    source, target = open_store(source), open_store(target)
    _refuse_overlap(source, target)
    refuse_interrupted(source)
    reader = open_reader(source)
    identity = replace(reader.identity, backend=backend)
    plan = reader.plan()
    on_size(_lacking_bytes(reader, target))
    writer = open_writer(target, identity)
    try:
        _check_target(reader, writer)
        writer.copy_plan(plan)
        done = _copy_frames(reader, writer, on_progress)
        for name in reader.label_sets():
            done += _copy_label_set(reader, writer, name)
        for name in reader.teachers.names():
            done += _copy_teacher(reader, writer, name)
        for name, video in reader.quarantined().items():
            writer.quarantine(name, video)
        copy_withdrawn(Layout(source), Layout(target))
        settings = StoredPath(source, CONFIG)
        if settings.exists():
            writer.write_sidecar(CONFIG, settings.get().decode())
        writer.write_manifest()
        return done
    finally:
        writer.close()
        reader.close()


def _lacking_bytes(reader: CacheReader, target: Store) -> int:
    """The size of the shards, as they are in the source, that the target does not have."""
    copied = open_reader(target) if has_cache(target) else None
    lacking = _sizes(reader.records, copied.records if copied else ())
    for name in reader.label_sets():
        is_copied = copied is not None and name in copied.label_sets()
        lacking += _sizes(reader.label_records(name), copied.label_records(name) if copied and is_copied else ())
    for name in reader.teachers.names():
        is_copied = copied is not None and name in copied.teachers.names()
        lacking += _sizes(reader.teachers.records(name), copied.teachers.records(name) if copied and is_copied else ())
    return sum(lacking)


def _sizes(records: dict[str, Record], copied: Container[str]) -> list[int]:
    return [record.num_bytes for unit, record in records.items() if unit not in copied]


def refuse_interrupted(source: Store) -> None:
    """CacheError if a removal from a cache was interrupted: what is to be removed must not be copied."""
    if read_removal(Layout(source)) is not None:
        raise CacheError(
            f"{source.location('')}: a removal was interrupted, so it cannot be copied; finish it with the same remove "
            "or refresh command"
        )


def _refuse_overlap(source: Store, target: Store) -> None:
    """CacheError if the two are the same, or one is inside the other, also through symbolic links."""
    origin, place = source.location(""), target.location("")
    if target.is_within(source):
        where = "itself" if source.is_within(target) else "a folder inside it"
        raise CacheError(f"{origin} cannot be converted into {where} ({place}); choose another folder")
    if source.is_within(target):
        raise CacheError(f"{origin} is inside {place} and cannot be converted into it; choose another folder")


def _check_target(reader: CacheReader, writer: CacheWriter) -> None:
    """IdentityMismatchError if the target is another cache, not an interrupted conversion of this one."""
    problem = "a longer plan" if len(writer.plan) > len(reader.plan()) else ""
    for unit, record in writer.reader().records.items():
        if unit in reader.records and not _is_copy(record, reader.records[unit]):
            problem = problem or f"other rows or provenance of unit {unit}"
    if problem:
        raise IdentityMismatchError(
            f"{writer.cache_dir} is another cache: it has {problem}. Nothing was changed; choose another folder"
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
    copied_set = writer.create_label_set(replace(labels, clips=()), reader.label_tensors(name))
    if copied_set.stores_logits != labels.stores_logits:
        raise CacheError(
            f"label set {name!r} is in the target already, and only one of the two stores its logits; convert into "
            "another folder"
        )
    _copy_clips(reader, writer, name)
    writer.texts(name).copy_from(reader.texts(name))
    copied = writer.reader().logits_units(name)
    lacking = {unit: record for unit, record in reader.label_records(name).items() if unit not in copied}
    for unit, record in lacking.items():
        frames = reader.records[unit]
        writer.commit_logits(name, unit, frames.keys, reader.all_logits(name, unit), record.provenance)
        reader.close()
    return len(lacking)


def _copy_teacher(reader: CacheReader, writer: CacheWriter, name: str) -> int:
    writer.teachers.create(name, reader.teachers.read(name).identity)
    copied = writer.reader().teachers.records(name)
    lacking = {unit: record for unit, record in reader.teachers.records(name).items() if unit not in copied}
    for unit, record in lacking.items():
        embeddings, crop_crc32 = reader.teachers.all_embeddings(name, unit), reader.teachers.all_crop_crc32(name, unit)
        writer.teachers.commit(name, unit, embeddings, crop_crc32, record.provenance)
        reader.close()
    return len(lacking)
