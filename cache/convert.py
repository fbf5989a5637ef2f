"""A whole cache written again with another back end: same plan, units, rows, labels and provenance.

Goes through the writer's own commits, so it may be stopped at any moment and run again.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from embedonce.cache import documents
from embedonce.cache.errors import CacheError, IdentityMismatchError
from embedonce.cache.files import read_file
from embedonce.cache.layout import Layout
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.writer import CacheWriter

CONFIG = "extract_config.yaml"


Tell = Callable[[int, int], None]  # shards done, of how many


def convert(source: Path, target: Path, backend: str, tell: Tell = lambda done, total: None) -> int:
    """Copy the cache in source to target; returns the number of shards written. tell: called with (done, of).

    CacheError where target is a cache of something else, lies in source or around it, or source is damaged; what was
    written stays and is sound.
    """
    _refuse_overlap(source, target)
    reader = open_reader(source)
    identity = replace(reader.identity, backend=backend)
    plan = documents.read_plan(Layout(source).plan)
    writer = open_writer(target, identity)
    try:
        _check_target(reader, writer)
        writer.copy_plan(plan)
        done = _copy_frames(reader, writer, tell)
        for name in reader.label_sets():
            done += _copy_label_set(reader, writer, name)
        for name, facts in documents.read_named(Layout(source).quarantine).items():
            writer.quarantine(name, facts)
        if (source / CONFIG).is_file():
            writer.write_sidecar(CONFIG, read_file(source / CONFIG).decode())
        writer.write_manifest()
        return done
    finally:
        writer.close()
        reader.close()


def _refuse_overlap(source: Path, target: Path) -> None:
    """CacheError where one of the two is the other, or lies inside of it, by whatever names."""
    if _is_within(target, source):
        where = "itself" if _is_within(source, target) else "a folder inside of it"
        raise CacheError(f"{source} cannot be converted into {where} ({target}); name another folder")
    if _is_within(source, target):
        raise CacheError(f"{source} lies inside {target} and cannot be converted into it; name another folder")


def _is_within(inner: Path, outer: Path) -> bool:
    """Whether inner is outer, or lies anywhere below it."""
    place = inner.resolve()
    return any(_is_same(folder, outer) for folder in (place, *place.parents))


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:  # one of them is not there
        return folder == other.resolve()


def _check_target(reader: CacheReader, writer: CacheWriter) -> None:
    """IdentityMismatchError where the target is a cache of its own, not an earlier conversion of this one."""
    problem = "a longer plan" if len(writer.plan) > len(reader.plan()) else ""
    for unit, record in writer.reader().records.items():
        if unit in reader.records and not _is_copy(record, reader.records[unit]):
            problem = problem or f"other rows of unit {unit}, or made otherwise"
    if problem:
        raise IdentityMismatchError(
            f"{writer.directory} is a cache of its own: it has {problem}. Nothing was changed; choose another folder"
        )


def _is_copy(record: Record, original: Record) -> bool:
    segments = [[documents.segment_document(segment) for segment in of.segments] for of in (record, original)]
    return segments[0] == segments[1] and record.provenance == original.provenance


def _copy_frames(reader, writer: CacheWriter, tell: Tell) -> int:
    there = writer.committed_units()
    lacking = [unit for unit in reader.records if unit not in there]
    for count, unit in enumerate(lacking, 1):
        writer.commit_frames(unit, reader.batch(unit), reader.records[unit].provenance)
        reader.close()
        tell(count, len(lacking))
    return len(lacking)


def _copy_clips(reader, writer: CacheWriter, name: str) -> None:
    """The clips as they are now; an earlier, interrupted conversion may have copied other ones."""
    parts, there = reader.clip_parts(name), writer.reader().clip_parts(name)
    if any(there[part] != clips for part, clips in parts.items() if part in there):
        writer.revise_clips(name, [list(parts.get(part, ())) for part in range(1 + max(parts))])
        return
    for part, clips in parts.items():
        writer.publish_clips(name, part, list(clips))


def _copy_label_set(reader, writer: CacheWriter, name: str) -> int:
    labels = reader.label_set(name)
    writer.create_label_set(replace(labels, clips=()), reader.label_tensors(name))
    _copy_clips(reader, writer, name)
    there = writer.reader().logits_units(name)
    lacking = {unit: record for unit, record in reader.label_records(name).items() if unit not in there}
    for unit, record in lacking.items():
        frames = reader.records[unit]
        writer.commit_logits(name, unit, frames.keys, reader.all_logits(name, unit), record.provenance)
        reader.close()
    return len(lacking)
