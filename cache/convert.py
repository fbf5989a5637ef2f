"""A whole cache written again with another back end: same plan, units, rows, labels and provenance.

Goes through the writer's own commits, so it may be stopped at any moment and run again.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cache import documents
from cache.errors import CacheError
from cache.files import read_file
from cache.layout import Layout
from cache.store import open_reader, open_writer
from cache.writer import CacheWriter

CONFIG = "extract_config.yaml"


Tell = Callable[[int, int], None]  # shards done, of how many


def convert(source: Path, target: Path, backend: str, tell: Tell = lambda done, total: None) -> int:
    """Copy the cache in source to target; returns the number of shards written. tell: called with (done, of).

    CacheError where target is a cache of something else, or source is damaged; what was written stays and is sound.
    """
    if source.resolve() == target.resolve():
        raise CacheError(f"{source} cannot be converted into itself; name another folder")
    reader = open_reader(source)
    identity = replace(reader.identity, backend=backend)
    plan = documents.read_plan(Layout(source).plan)
    writer = open_writer(target, identity)
    try:
        writer.copy_plan(plan)
        done = _copy_frames(reader, writer, tell)
        for name in reader.label_sets():
            done += _copy_label_set(reader, writer, name)
        for name, facts in documents.read_named(Layout(source).quarantine).items():
            writer.quarantine(name, facts)
        if (source / CONFIG).is_file():
            writer.save_beside(CONFIG, read_file(source / CONFIG).decode())
        writer.write_manifest()
        return done
    finally:
        writer.close()
        reader.close()


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
