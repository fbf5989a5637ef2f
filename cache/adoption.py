"""Shards that were published without a record, while several writers may be at work: they are taken as they are.

Such a shard may belong to a living writer, which is about to publish its record, so it is never replaced. If it holds
what this writer has computed, as well as machines agree, a record can describe it as it is, whoever publishes that.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import Layout
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record
from embedonce.cache.schema import CacheIdentity, FrameBatch
from embedonce.cache.vectors import MIN_COSINE, cosines
from embedonce.cache.verify_units import LOGITS_TOLERANCE, frame_problems

ADOPTED = "adopted"  # field of provenance: the rows are those of a writer that had not published a record


def adopted_frames(layout: Layout, identity: CacheIdentity, name: str, record: Record, batch: FrameBatch) -> Record:
    """The record of the frame shard that is stored under this name, in place of that of our own one.

    record, batch: ours. DamagedError, which says what to do, if the stored shard is not whole or holds other rows.
    """
    stored = _described(layout, name, replace(record, provenance={**record.provenance, ADOPTED: True}))
    reader = CacheReader(layout.store, identity, {record.unit: stored})
    try:
        _refuse(layout, name, _frame_differences(reader, stored, batch))
    finally:
        reader.close()
    return stored


def adopted_logits(
    layout: Layout,
    identity: CacheIdentity,
    label_set: str,
    name: str,
    record: Record,
    frames: Record,
    logits: np.ndarray,
) -> Record:
    """As adopted_frames(), of the logits of a unit, (N, V, C) float32. frames: record of its frames."""
    stored = _described(layout, name, record)
    reader = CacheReader(layout.store, identity, {record.unit: frames})
    reader.override_records(label_set, {record.unit: stored})
    try:
        _refuse(layout, name, _logits_differences(reader, label_set, record.unit, logits))
    finally:
        reader.close()
    return stored


def _described(layout: Layout, name: str, record: Record) -> Record:
    """Our record, with the bytes that are stored."""
    num_bytes, sha256 = layout.store.digest(name)
    folder, _, _ = name.rpartition("/")
    layout.store.sync([folder])  # the writer that published it may have been killed before its name was durable
    return replace(record, num_bytes=num_bytes, sha256=sha256)


def _frame_differences(reader: CacheReader, stored: Record, batch: FrameBatch) -> Iterator[str]:
    if not batch.jpegs:
        yield "now there are none"
    yield from frame_problems(reader, stored, {}, None)
    theirs = reader.batch(stored.unit)
    if theirs.jpegs != batch.jpegs:
        yield "other frames"
    if not np.array_equal(theirs.crop_crc32, batch.crop_crc32):
        yield "crops with other pixels"
    least = cosines(theirs.embeddings, batch.embeddings).min()
    if not least >= MIN_COSINE:
        yield f"other embeddings (cosine {least:.4f})"


def _logits_differences(reader: CacheReader, label_set: str, unit: str, logits: np.ndarray) -> Iterator[str]:
    theirs = reader.all_logits(label_set, unit)
    if not np.allclose(theirs, logits, rtol=0, atol=LOGITS_TOLERANCE * np.abs(logits).max(initial=1)):
        yield "other logits"


def _refuse(layout: Layout, name: str, differences: Iterator[str]) -> None:
    """DamagedError if there is a difference."""
    try:
        problem = next(differences, None)
    except DamagedError as error:
        problem = str(error)
    if problem is not None:
        raise DamagedError(
            f"{layout.store.location(name)} has no record, and holds other rows than were computed now ({problem}). "
            "Nothing was replaced, because another process may be about to commit it; when no process writes into the "
            "cache any more, run extract-teacher alone, which makes this shard again",
            has_advice=True,
        )
