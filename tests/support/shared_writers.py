"""What several writers of one cache do at the same time: each plans, commits, labels and ends as a part would.

Rows are made from their keys alone, but each writer computes slightly other embeddings, as another machine would.
"""

from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace

import numpy as np
import safetensors.numpy

from embedonce.cache.errors import AlreadyCommittedError
from embedonce.cache.heads import logits_from
from embedonce.cache.plan import Unit
from embedonce.cache.schema import CacheIdentity, FrameBatch
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.registry import Location
from embedonce.cache.vectors import MIN_COSINE, cosines
from embedonce.cache.writer import CacheWriter
from tests.conftest import make_cache_identity
from tests.support.cache_parts import Requests, plan_part, problems, whole_videos, with_fingerprints
from tests.support.shared_units import LABELS, TENSORS, batch_of

IDENTITY = make_cache_identity("webdataset")
VIDEOS: Requests = {"a": range(6), "b": range(2), "c": range(9), "d": range(1)}  # seven units of four rows
NOISE = 2e-3  # of embeddings; cosines stay above 0.9999


def shared_writer(root: Location, identity: CacheIdentity = IDENTITY) -> CacheWriter:
    """A writer that others may join."""
    return open_writer(root, identity, is_shared=True)


def write(
    root: Location,
    backend: str = "hdf5",
    videos: Requests = VIDEOS,
    machine: int = 0,
    is_shared: bool = True,
) -> tuple[Unit, ...]:
    """Plan these videos, commit all pending units, label them, and end; returns the units that this writer planned.

    machine: decides the last bits of its embeddings.
    """
    with closing(open_writer(root, make_cache_identity(backend), is_shared=is_shared)) as writer:
        return work(writer, videos, machine)


def work(writer: CacheWriter, videos: Requests = VIDEOS, machine: int = 0) -> tuple[Unit, ...]:
    """As write(), with an open writer."""
    own = plan(writer, videos)
    writer.refresh()
    done = writer.committed_units()
    for unit in writer.units:
        if unit.name not in done:
            commit(writer, unit, machine)
    label(writer, machine)
    writer.write_manifest()
    return own


def plan(writer: CacheWriter, videos: Requests) -> tuple[Unit, ...]:
    """Plan those of these videos that are not planned, as far as this writer knows."""
    before = frozenset(writer.incomplete_uids())
    new = {uid: times for uid, times in videos.items() if uid not in writer.planned_videos or uid in before}
    planned = {s.video_uid: set() for unit in writer.units for s in unit.segments if s.video_uid in before}
    for segment in (s for unit in writer.units for s in unit.segments if s.video_uid in before):
        planned[segment.video_uid] |= set(segment.request_k.tolist())
    left = {uid: [k for k in times if k not in planned.get(uid, ())] for uid, times in new.items()}
    return plan_part(writer, {uid: times for uid, times in left.items() if times})


def commit(writer: CacheWriter, unit: Unit, machine: int) -> None:
    """Commit a unit, unless another writer does so first."""
    with suppress(AlreadyCommittedError):
        batch = with_fingerprints(batch_of(unit), writer)
        writer.commit_frames(unit.name, computed_by(machine, batch), {"host": f"machine {machine}"})


def computed_by(machine: int, batch: FrameBatch) -> FrameBatch:
    """The same rows as another machine computes them."""
    noise = np.random.default_rng(machine).standard_normal(batch.embeddings.shape)
    values = batch.embeddings.astype(np.float32) + NOISE * bool(machine) * noise
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    return replace(batch, embeddings=values.astype(np.float16))


def label(writer: CacheWriter, machine: int) -> None:
    """Write a label set whose head has other last bits on each machine, with clips and logits."""
    writer.create_label_set(LABELS, safetensors.numpy.save(head_of(machine)))
    writer.refresh()
    for part in writer.plan:
        writer.publish_clips(LABELS.name, part.part, whole_videos(part))
    with closing(writer.reader()) as reader:
        head = reader.head(LABELS.name)
        for unit in sorted(reader.records.keys() - reader.logits_units(LABELS.name)):
            with suppress(AlreadyCommittedError):
                logits = logits_from(head, reader.all_embeddings(unit))
                writer.commit_logits(LABELS.name, unit, reader.records[unit].keys, logits, {})


def head_of(machine: int) -> Mapping[str, np.ndarray]:
    return {name: (tensor * np.float32(1 + 1e-6 * machine)).astype(np.float32) for name, tensor in TENSORS.items()}


def complaints(root: Location, videos: Requests = VIDEOS) -> list[str]:
    """What is wrong with a cache that these writers leave, whether or not they ended: nothing must be."""
    found, reader = list(unfinished_problems(root)), open_reader(root)
    units = [unit for part in reader.plan() for unit in part.units]
    times = [(s.video_uid, k) for unit in units for s in unit.segments for k in s.request_k.tolist()]
    uids = [video.uid for part in reader.plan() for video in part.videos]
    for what, names in (("unit", [unit.name for unit in units]), ("time", times), ("video", uids)):
        found += [f"{what} {name} was planned twice" for name in set(names) if names.count(name) > 1]
    found += [f"nobody asked for {time}" for time in set(times) - expected_times(videos)]
    planned = {unit.name: unit for unit in units}
    for name in reader.records:
        expected, batch = batch_of(planned[name]), reader.batch(name)
        if batch.keys != expected.keys or batch.jpegs != expected.jpegs:
            found.append(f"unit {name} has other rows than were planned")
        elif not (cosines(batch.embeddings, expected.embeddings) >= MIN_COSINE).all():
            found.append(f"unit {name} has other embeddings")
    reader.close()
    return found


def unfinished_problems(root: Location) -> list[str]:
    """What verification finds, but what is merely not done yet: shards without a record, and labels to write."""
    return [line for line in problems(root) if not line.startswith("extra: ") and line != LABELS.name]


def whole_problems(root: Location, videos: Requests = VIDEOS) -> list[str]:
    """What is wrong with a cache in which everything must be done."""
    found, reader = complaints(root, videos) + problems(root), open_reader(root)
    times = {
        (s.video_uid, k) for record in reader.records.values() for s in record.segments for k in s.request_k.tolist()
    }
    found += [f"{time} is not committed" for time in expected_times(videos) - times]
    found += [] if reader.logits_units(LABELS.name) == reader.records.keys() else ["logits are missing"]
    clips = {clip.video_uid for clip in reader.label_set(LABELS.name).clips}
    found += [] if clips == videos.keys() else [f"clips of {sorted(clips)} only"]
    reader.close()
    return found


def expected_times(videos: Requests) -> set[tuple[str, int]]:
    return {(uid, k) for uid, times in videos.items() for k in times}
