"""A labeled cache, with an added teacher, whose units hold rows of several videos, each made from its key alone.

So a cache that never had a video has the same rows as one that it was removed from.
"""

import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import safetensors.numpy

from embedonce.cache.heads import logits_from
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import PlannedSegment, Unit
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import FrameBatch, Segment, row_key
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.writer import CacheWriter
from tests.conftest import make_cache_identity, planned_segment, planned_video
from tests.support.fake_teacher import fake_identity

SECRET = "secretvideo"
PARTS = ({"a": 3, SECRET: 6, "b": 2}, {"c": 1, "d": 3}, {"e": 2})  # rows of the videos of each part
CONTINUED = 2  # rows of the secret video that are planned with the last part
SHARD_FRAMES = 4
DIM = 16
VIEWS = np.array([[0, 0, 256, 256, 0, 3], [1, 2, 200, 200, 1, 3]], np.int32)
TENSORS = {
    "class_text": np.linspace(-1, 1, 2 * DIM, dtype=np.float32).reshape(2, DIM),
    "logit_scale": np.array([3.0], np.float32),
}
LABELS = LabelSet("main", "zero-shot", ("cut", "stir"), (("a",), ("b",)), 3.0, {})
COMPUTED = LabelSet("computed", "zero-shot", ("cut", "stir"), (("a",), ("b",)), 3.0, {}, stores_logits=False)
SECOND, SECOND_DIM = "second", 8  # the added teacher
PLAIN = LabelSet("plain", "none", ("cut", "stir"), (), None, {})


def make_shared_cache(root: Path, backend: str, without: str | None = None, pending: int = 0) -> Path:
    """The cache, or the one that never had a video. pending: how many of the last units are not committed."""
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        for number, rows in enumerate(PARTS):
            _plan(writer, number, rows, without)
        for unit in writer.units[: len(writer.units) - pending]:
            writer.commit_frames(unit.name, batch_of(unit), {"decoding": {s.video_uid: "whole" for s in unit.segments}})
        for labels in (LABELS, COMPUTED, PLAIN):
            write_labels(writer, labels)
        write_second_teacher(writer)
        writer.quarantine("broken", QuarantinedVideo("broken.mp4", "no video stream", 1, 2))
        writer.write_manifest()
    return root


def _plan(writer: CacheWriter, number: int, rows: dict[str, int], without: str | None) -> None:
    kept = {uid: count for uid, count in rows.items() if uid != without}
    requests = [planned_segment(uid, count) for uid, count in kept.items()]
    if number == len(PARTS) - 1 and without != SECRET:
        requests.append(_later(planned_segment(SECRET, PARTS[0][SECRET] + CONTINUED), PARTS[0][SECRET]))
    videos = [planned_video(uid, views=VIEWS, fingerprint=fingerprint_of(uid)) for uid in kept]
    writer.extend_plan(videos, requests, SHARD_FRAMES)


def _later(segment: PlannedSegment, start: int) -> PlannedSegment:
    columns = (segment.frame_index[start:], segment.pts[start:], segment.request_k[start:])
    return PlannedSegment(segment.video_uid, *columns, np.arange(len(columns[0]), dtype=np.int64))


def fingerprint_of(uid: str) -> str:
    return f"{zlib.crc32(uid.encode()):064x}"


def batch_of(unit: Unit) -> FrameBatch:
    """The rows of a unit, all requests answered."""
    segments = tuple(_segment(planned) for planned in unit.segments)
    keys = [key for segment in segments for key in segment.keys]
    return FrameBatch(
        segments,
        tuple(jpeg_of(key) for key in keys),
        np.stack([embedding_of(key) for key in keys]),
        np.array([[zlib.crc32(f"{key} {view}".encode()) for view in range(2)] for key in keys], np.uint32),
    )


def _segment(planned: PlannedSegment) -> Segment:
    rows = planned.request_row
    columns = (planned.frame_index, planned.pts, planned.request_k, np.zeros(len(rows), np.uint8), rows)
    return Segment(planned.video_uid, (1, 15360), 0, VIEWS, *columns, fingerprint_of(planned.video_uid))


def jpeg_of(key: str) -> bytes:
    return b"\xff\xd8" + np.random.default_rng(zlib.crc32(key.encode())).bytes(60)


def embedding_of(key: str, dim: int = DIM) -> np.ndarray:
    """(2, dim) float16, of unit length."""
    values = np.random.default_rng(1 + zlib.crc32(key.encode())).standard_normal((2, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def logits_of(embeddings: np.ndarray) -> np.ndarray:
    """(N, 2, 2) float32, each row computed alone: the bits of a product depend on how many rows it has."""
    return np.concatenate([logits_from(TENSORS, embeddings[row : row + 1]) for row in range(len(embeddings))])


def secrets() -> list[bytes]:
    """Bytes that must be nowhere in a cache without the secret video: its name, frames and embeddings."""
    keys = [row_key(SECRET, index) for index in range(PARTS[0][SECRET] + CONTINUED)]
    embeddings = [view.tobytes() for key in keys for dim in (DIM, SECOND_DIM) for view in embedding_of(key, dim)]
    logits = [view.tobytes() for key in keys for view in logits_of(embedding_of(key)[None])[0]]
    return [SECRET.encode(), fingerprint_of(SECRET).encode(), *map(jpeg_of, keys), *embeddings, *logits]


def write_labels(writer: CacheWriter, labels: LabelSet) -> None:
    """Clips over every planned video, revised once, and logits of every committed unit."""
    tensors = safetensors.numpy.save(TENSORS) if labels.has_logits else None
    writer.create_label_set(labels, tensors)
    for part in writer.plan:
        writer.publish_clips(labels.name, part.part, clips_of(part, 0))
    writer.revise_clips(labels.name, [clips_of(part, 1) for part in writer.plan])
    writer.revise_clips(labels.name, [clips_of(part, 0) for part in writer.plan])
    reader = writer.reader()
    for unit, record in reader.records.items() if labels.has_logits and labels.stores_logits else ():
        writer.commit_logits(labels.name, unit, record.keys, logits_of(reader.all_embeddings(unit)), {})
    reader.close()


def write_second_teacher(writer: CacheWriter) -> None:
    """The embeddings of an added teacher, of every committed unit that lacks them."""
    writer.teachers.create(SECOND, fake_identity(name="second", weights_sha256="2" * 64, embed_dim=SECOND_DIM))
    teachers, records = writer.reader().teachers, writer.reader().records
    for unit in teachers.lacking(SECOND):
        keys = records[unit].keys
        embeddings = np.stack([embedding_of(key, SECOND_DIM) for key in keys])
        writer.teachers.commit(SECOND, unit, embeddings, second_crc32_of(keys), {"host": "there"})


def second_crc32_of(keys: list[str]) -> np.ndarray:
    return np.array([[zlib.crc32(f"second {key} {view}".encode()) for view in range(2)] for key in keys], np.uint32)


def clips_of(part, label: int) -> list[ClipLabel]:
    return [ClipLabel(f"{video.uid}:0", video.uid, 0.0, 3.0, label, "train") for video in part.videos]


def content(root: Path, leave_out: str | None = None) -> dict:
    """What a cache shows of each video, by key and uid: frames, embeddings, logits, timelines, plan and clips."""
    reader, found = open_reader(root), {}
    for unit in reader.records:
        batch = reader.batch(unit)
        for row, key in enumerate(batch.keys):
            found[key] = (batch.jpegs[row], batch.embeddings[row].tobytes(), batch.crop_crc32[row].tolist())
        for name in reader.label_sets():
            if unit in reader.logits_units(name):
                found |= {f"{name} {key}": _logits_bytes(reader, name, unit, i) for i, key in enumerate(batch.keys)}
        found |= _of_added_teachers(reader, unit, batch.keys)
    for uid in reader.video_uids:
        timeline = reader.timeline(uid)
        found[f"timeline {uid}"] = (timeline.k.tolist(), timeline.t_sec.tolist(), timeline.frame_sec.tolist())
    for name in reader.label_sets():
        found |= {f"{name} {clip.video_uid}": clip for clip in reader.label_set(name).clips}
    reader.close()
    return {key: value for key, value in found.items() if leave_out is None or leave_out not in key}


def _of_added_teachers(reader: CacheReader, unit: str, keys: list[str]) -> dict:
    """The embeddings of added teachers of a unit, by teacher and key."""
    teachers, found = reader.teachers, {}
    for name in (name for name in teachers.names() if unit in teachers.records(name)):
        vectors, checksums = teachers.all_embeddings(name, unit), teachers.all_crop_crc32(name, unit)
        for key, row, crc32 in zip(keys, vectors, checksums, strict=True):
            found[f"{name} {key}"] = (row.tobytes(), crc32.tolist())
    return found


def _logits_bytes(reader: CacheReader, name: str, unit: str, row: int) -> bytes:
    """Those of one row, computed alone if they are not stored."""
    logits = reader.logits(name, unit)
    return b"".join(logits.logits(row, row + 1, view).tobytes() for view in range(len(VIEWS)))


def everything_below(root: Path) -> bytes:
    """The names and bytes of all files of a folder."""
    paths = sorted(root.rglob("*"))
    return b"\n".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in paths)
