"""Caches that hold chosen requests of chosen videos, as machines that share the work would make them.

Rows are made from their keys alone, so that equal requests have equal rows in all of these caches.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import safetensors.numpy

from embedonce.cache.heads import logits_from
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import PlannedSegment, PlannedVideo, PlanPart, Unit
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.schema import CacheIdentity, FrameBatch
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.registry import Location
from embedonce.cache.verify import verify
from embedonce.cache.writer import CacheWriter
from tests.conftest import make_cache_identity, planned_video
from tests.support.shared_units import (
    COMPUTED,
    LABELS,
    PLAIN,
    TENSORS,
    VIEWS,
    batch_of,
    fingerprint_of,
)

Requests = Mapping[str, Sequence[int]]  # uid -> requested times
ALL_SETS = (LABELS, COMPUTED, PLAIN)
SHARD_FRAMES = 4
OTHER = {"hdf5": "webdataset", "webdataset": "hdf5"}  # back end


def make_cache(
    root: Location,
    *parts: Requests,
    backend: str = "hdf5",
    label_sets: Sequence[LabelSet] = ALL_SETS,
    pending: int = 0,
    describe: Callable[[PlannedVideo], PlannedVideo] = lambda video: video,
    change: Callable[[FrameBatch], FrameBatch] = lambda batch: batch,
    identity: CacheIdentity | None = None,
    shard_frames: int = SHARD_FRAMES,
    tensors: Mapping[str, np.ndarray] = TENSORS,
) -> Location:
    """A cache with these parts in its plan. pending: how many of the last units are not committed.

    describe: changes planned videos; change: changes the rows of a unit. tensors: of label sets that have logits.
    """
    with closing(open_writer(root, identity or make_cache_identity(backend))) as writer:
        for requests in parts:
            plan_part(writer, requests, describe, shard_frames)
        for unit in writer.units[: len(writer.units) - pending]:
            provenance = {"host": "here", "decoding": {segment.video_uid: "whole" for segment in unit.segments}}
            writer.commit_frames(unit.name, change(with_fingerprints(batch_of(unit), writer)), provenance)
        for labels in label_sets:
            write_label_set(writer, labels, tensors=tensors)
        writer.write_manifest()
    return root


def plan_part(
    writer: CacheWriter,
    requests: Requests,
    describe: Callable[[PlannedVideo], PlannedVideo] = lambda video: video,
    shard_frames: int = SHARD_FRAMES,
) -> tuple[Unit, ...]:
    new = [uid for uid in requests if uid not in writer.planned_videos]
    videos = [describe(planned_video(uid, views=VIEWS, fingerprint=fingerprint_of(uid))) for uid in new]
    return writer.extend_plan(videos, [requests_of(uid, times) for uid, times in requests.items()], shard_frames)


def requests_of(uid: str, times: Sequence[int]) -> PlannedSegment:
    k = np.array(times, np.int64)
    return PlannedSegment(uid, k, k * 512, k, np.arange(len(k), dtype=np.int64))


def with_fingerprints(batch: FrameBatch, writer: CacheWriter) -> FrameBatch:
    planned = writer.planned_videos
    segments = (
        replace(segment, fingerprint=planned[segment.video_uid].fingerprint, views=planned[segment.video_uid].views)
        for segment in batch.segments
    )
    return replace(batch, segments=tuple(segments))


def write_label_set(
    writer: CacheWriter,
    labels: LabelSet,
    clips_of: Callable[[PlanPart], Iterable[ClipLabel]] | None = None,
    tensors: Mapping[str, np.ndarray] = TENSORS,
) -> None:
    """Clips over every planned video, and logits of every committed unit."""
    head = safetensors.numpy.save(dict(tensors)) if labels.has_logits and tensors else None
    writer.create_label_set(labels, head)
    for part in writer.plan:
        writer.publish_clips(labels.name, part.part, list((clips_of or whole_videos)(part)))
    reader = writer.reader()
    for unit, record in reader.records.items() if labels.has_logits and labels.stores_logits else ():
        rows = [logits_from(dict(tensors or TENSORS), row[None]) for row in reader.all_embeddings(unit)]
        logits = np.concatenate([np.zeros((0, 2, 2), np.float32), *rows])  # of each row alone, as logits_of() has them
        writer.commit_logits(labels.name, unit, record.keys, logits, {})
    reader.close()


def whole_videos(part: PlanPart) -> list[ClipLabel]:
    return [ClipLabel(f"{video.uid}:0", video.uid, 0.0, 3.0, 0, "train") for video in part.videos]


def slightly_other_rows(batch: FrameBatch) -> FrameBatch:
    """The embeddings that another machine may compute."""
    noise = 1e-3 * np.random.default_rng(0).standard_normal(batch.embeddings.shape)
    values = batch.embeddings + noise
    values *= 0.9985 / np.linalg.norm(values, axis=2, keepdims=True)  # as short as verification allows
    return replace(batch, embeddings=values.astype(np.float16))


def quarantined(root: Location, uid: str, reason: str = "no video stream") -> None:
    """Put a video of a cache into quarantine."""
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        writer.quarantine(uid, QuarantinedVideo(f"{uid}.mp4", reason, 1, 2))
        writer.write_manifest()


def problems(root: Location) -> list[str]:
    """What verification finds wrong, extra or unfinished."""
    report = verify(root)
    extra = [f"extra: {path}" for path in report.extra]
    return [problem.message for problem in report.problems] + extra + list(report.unfinished)
