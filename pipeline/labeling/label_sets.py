"""Writes label sets over a cache: clips with hard labels, and soft logits from cached embeddings; embeds no image."""

import logging

from embedonce.cache.errors import AlreadyCommittedError, BusyError
from embedonce.cache.heads import logits_from
from embedonce.cache.labels import FITTED, ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.labeling.clip_index import revision_of
from embedonce.pipeline.labeling.fitted_logits import fitted_head
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.source import Source

log = logging.getLogger(__name__)


def write_labels(writer: CacheWriter, request: LabelSetRequest, seed: int) -> LabelSet:
    """Create the label set if it is new, publish the clips of new plan parts, and write missing logits.

    seed: of a fitted head.
    """
    source = match_source(request.source, CachedVideos.of_writer(writer))
    labels, tensors = request.labels, request.tensors
    if labels.kind == FITTED:
        labels, tensors = fitted_head(writer, source, labels, seed)
    labels = writer.create_label_set(labels, tensors)
    _publish_clips(writer, source, labels)
    if labels.has_logits and labels.stores_logits:
        _write_logits(writer, labels)
    return labels


def count_with_frames(reader: CacheReader, clips: tuple[ClipLabel, ...]) -> int:
    """The number of clips with at least one frame in the cache."""
    return sum(map(reader.shows, clips))


def summary_line(labels: LabelSet, with_frames: int) -> str:
    """One line about a label set; with_frames: the number of its clips that have a frame."""
    without = len(labels.clips) - with_frames
    note = (
        f"; {without} have no frame in the cache: their times were not requested when their videos were planned, or "
        "the videos show no frame then"
    )
    logits = ", logits computed when read" if labels.computes_logits else ""
    counts = f"{len(labels.classes)} classes, {len(labels.clips)} clips"
    return f"label set {labels.name}: {counts}{logits}{note if without else ''}"


def _publish_clips(writer: CacheWriter, source: Source, labels: LabelSet) -> None:
    """Publish the clips of new plan parts, or replace all clips in one step if stored ones change."""
    reader, name = writer.reader(), labels.name
    revision = revision_of(reader, writer.plan, source, labels)
    if revision.lines and writer.is_shared:
        raise BusyError(
            f"the clips of label set {name} have changed ({revision.lines[0]}) and cannot be replaced in "
            f"{writer.cache_dir} while other processes write it; run the command without --part when they have ended"
        )
    for line in revision.lines:
        log.warning("%s", line)
    if revision.lines:
        writer.revise_clips(name, [revision.parts[part.part] for part in writer.plan])
        return
    stored = reader.clip_parts(name)
    for part in writer.plan:
        if part.part not in stored:
            writer.publish_clips(name, part.part, revision.parts[part.part])


def _write_logits(writer: CacheWriter, labels: LabelSet) -> None:
    reader = writer.reader()
    head = reader.head(labels.name)
    assert head is not None  # a label set with logits has a head
    done = reader.logits_units(labels.name)
    num_parts = len(writer.plan)  # whose clips are published; another process may have planned and committed more
    planned = [unit for unit, record in reader.records.items() if record.part is None or record.part < num_parts]
    missing = [unit for unit in planned if unit not in done]
    with Progress(len(missing), f"logits of label set {labels.name!r}", "shards") as progress:
        for unit in missing:
            record = reader.records[unit]
            logits = logits_from(head, reader.all_embeddings(unit))
            try:
                writer.commit_logits(labels.name, unit, record.keys, logits, {})
            except AlreadyCommittedError:  # by one of those that write the same cache
                if not writer.is_shared:
                    raise
            progress.update()
    reader.close()
