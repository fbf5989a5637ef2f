"""Checks of one committed unit: its frame shard against its record, its record against the plan, its logits."""

from collections.abc import Callable, Iterator

import numpy as np

from embedonce.cache.errors import DamagedError
from embedonce.cache.heads import logits_from
from embedonce.cache.jpeg_header import check_header
from embedonce.cache.plan import PlannedSegment, Unit
from embedonce.cache.planned_units import PlannedUnit, are_equal_units
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record
from embedonce.cache.schema import CacheIdentity, FrameBatch
from embedonce.cache.stores.stored_path import StoredPath

NORM_TOLERANCE = 2e-3  # of a unit vector in float16
LOGITS_TOLERANCE = 1e-3  # of the largest logit: matrix products differ between machines

Replay = Callable[[bytes, np.ndarray, int], np.ndarray]  # JPEG, views (V, 6), side -> (V,) uint32 CRC-32 of the crops


def frame_problems(
    reader: CacheReader, record: Record, fingerprints: dict[str, str], replay: Replay | None
) -> Iterator[str]:
    """What is wrong with a frame shard. fingerprints: video uid -> that of the plan. replay: None to skip pixels."""
    for segment in record.segments:
        if segment.fingerprint != fingerprints.get(segment.video_uid, segment.fingerprint):
            yield f"the rows of {segment.video_uid} come from another file than the one that was planned"
    try:
        batch = reader.batch(record.unit)
        if not record.num_rows:
            return
        shard = reader.frames(record.unit)
        if shard.keys() != record.keys:
            yield "the shard has other rows than its record"
        contradiction = shard.first_contradiction(record.segments)
    except DamagedError as error:
        yield str(error)
        return
    if contradiction:
        yield f"the shard has other {contradiction} than its record"
    yield from embedding_problems(batch)
    if replay is not None:
        yield from pixel_problems(batch, reader.identity, replay)


def plan_contradictions(record: Record, planned: Unit | None, recorded: PlannedUnit | None) -> Iterator[str]:
    """Where a record and the plan contradict each other; which of the two is wrong cannot be known.

    planned: the unit in the plan; recorded: the unit as it was planned, from the record.
    """
    if planned is None:
        yield f"unit {record.unit} is committed and not in the plan, which is missing or older than it"
        return
    segments: dict[str, PlannedSegment] = {segment.video_uid: segment for segment in planned.segments}
    for segment in record.segments:
        plan = segments.get(segment.video_uid)
        if plan is None or not np.array_equal(plan.request_k, segment.request_k):
            yield f"the requests of {segment.video_uid} are not those of the plan"
        elif not np.isin(segment.frame_index, plan.frame_index).all():
            yield f"rows of {segment.video_uid} were never planned"
    if recorded is not None and not are_equal_units(recorded.unit, planned):
        yield f"unit {record.unit} was planned with other times or frames than the plan has now"


def logits_problems(
    reader: CacheReader, name: str, record: Record, head: dict[str, np.ndarray] | None, frame_records: StoredPath
) -> Iterator[str]:
    """What is wrong with a logits shard. head: what the logits were computed with; None to skip the comparison.

    frame_records: the folder of the frame shards' records.
    """
    if record.unit not in reader.records:
        if not (frame_records / f"{record.unit}.json").exists():  # else it was committed after the verification began
            yield "there are logits of a unit that has no frames"
        return
    if not record.num_rows:
        return
    try:
        logits = reader.all_logits(name, record.unit)
        if head is None:
            return
        expected = logits_from(head, reader.batch(record.unit).embeddings)
    except DamagedError as error:
        yield str(error)
        return
    if not np.allclose(logits, expected, rtol=0, atol=LOGITS_TOLERANCE * np.abs(expected).max(initial=1)):
        yield "its logits are not those of the label set's own head over these embeddings"


def embedding_problems(batch: FrameBatch) -> Iterator[str]:
    """The first embedding that is not of unit length, as exactly as float16 allows."""
    norms = np.linalg.norm(batch.embeddings.astype(np.float32), axis=2)
    wrong = np.argwhere(np.abs(norms - 1) > NORM_TOLERANCE)
    if len(wrong):
        row, view = wrong[0]
        yield f"the embedding of {batch.keys[row]}, view {view}, has length {norms[row, view]:.4f}, not 1"


def pixel_problems(batch: FrameBatch, identity: CacheIdentity, replay: Replay) -> Iterator[str]:
    """The first row whose crops are not the pixels that the teacher of this identity saw."""
    row = 0
    for segment in batch.segments:
        for key in segment.keys:
            try:
                check_header(batch.jpegs[row], identity.canonical_short_side)
                crop_crc32 = replay(batch.jpegs[row], segment.views, identity.teacher.input_size)
            except (OSError, ValueError) as error:
                yield f"the stored frame {key} cannot be decoded ({error})"
                return
            if not np.array_equal(crop_crc32, batch.crop_crc32[row]):
                yield f"the crops of {key} are not the pixels that the teacher saw"
                return
            row += 1
