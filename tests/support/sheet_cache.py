"""A cache of everything that a contact sheet shows: gaps, black frames, copies, videos in quarantine, odd names."""

from contextlib import closing
from pathlib import Path

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlannedSegment
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.schema import FrameBatch, Segment, Status
from embedonce.cache.store import open_writer
from embedonce.cache.withdrawn import withdraw
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.frames.canonical_frame import encode_canonical
from tests.conftest import make_cache_identity, planned_video

DIM, FPS = 16, 2
CLASSES = ('cut <bread> & "serve" it\'s', "</script><script>alert(1)</script>", "stir")
SOURCES = {  # uid -> file: in natural order
    "lost": "all lost.mp4",
    "black": "garden/black.mp4",
    "broken": "garden/broken.mp4",
    "copy": "kitchen/copy of take 2.mp4",
    "take2": "kitchen/take 2.mp4",
    "take10": "kitchen/take 10 <img src=x onerror=alert(3)>.mp4",
}
FRAMES = 24  # of a video
SPLITS = {"take10": "val", "copy": "val"}  # others: train
BLACK_BUT = 8  # the only frame of "black" that shows something
GAPS = {Status.CORRUPT: (2, 3, 4), Status.REDACTED: (9,), Status.MISSING: (22, 23), Status.RESHAPED: (14, 15)}
VIEWS = np.array([[0, 0, 64, 64, 0, 3]], np.int32)


def make_sheet_cache(root: Path, label_sets: dict[str, str] | None = None) -> Path:
    """A unit for each video, with three clips. label_sets: name -> kind; by default there is one, with logits."""
    centers = np.random.default_rng(0).standard_normal((len(CLASSES), DIM))
    with closing(open_writer(root, make_cache_identity(num_views=0, embed_dim=DIM))) as writer:
        videos = [planned_video(uid, source=source, end_sec=12.0) for uid, source in SOURCES.items()]
        writer.extend_plan(videos, [_planned(uid) for uid in SOURCES], FRAMES)
        batches = {unit.name: _batch(unit.segments[0].video_uid, centers) for unit in writer.units}
        for unit, batch in batches.items():
            writer.commit_frames(unit, batch, {})
        for name, kind in ({"actions": "fitted"} if label_sets is None else label_sets).items():
            _label(writer, LabelSet(name, kind, CLASSES, (), None, {}), batches, centers)
        writer.quarantine("torn.mp4", QuarantinedVideo("torn <i>.mp4", "no frame could be decoded", 5, 6))
        withdraw(Layout.at(root), "secret.mp4", "")
        writer.write_manifest()
    return root


def clips_of(uid: str) -> list[ClipLabel]:
    """Three clips of four seconds, the last one without a label."""
    split = SPLITS.get(uid, "train")
    return [ClipLabel(f"{uid}:{i}", uid, 4.0 * i, 4.0 * i + 4, (0, 1, -1)[i], split) for i in range(3)]


def _planned(uid: str) -> PlannedSegment:
    rows = np.arange(FRAMES)
    return PlannedSegment(uid, 15 * rows, 15 * 512 * rows, rows, rows)


def _batch(uid: str, centers: np.ndarray) -> FrameBatch:
    status = np.zeros(FRAMES, np.uint8)
    if uid == "lost":
        status[:] = Status.CORRUPT
    for reason, places in GAPS.items() if uid == "broken" else ():
        status[list(places)] = reason
    k = np.arange(FRAMES)
    stored = k[status == Status.OK]
    row = np.where(status == Status.OK, np.cumsum(status == Status.OK) - 1, -1)
    segment = Segment(uid, (1, 15360), 0, VIEWS, 15 * stored, 15 * 512 * stored, k, status, row)
    crop_crc32 = np.zeros((len(stored), 1), np.uint32)
    jpegs = tuple(_jpeg(uid, int(number)) for number in stored)
    return FrameBatch((segment,), jpegs, _embeddings(uid, stored, centers), crop_crc32)


def _jpeg(uid: str, number: int) -> bytes:
    """Black, or noise over the color of a clip."""
    if uid == "black" and number != BLACK_BUT:
        return encode_canonical(np.zeros((64, 96, 3), np.uint8), 0, 90)
    image = np.random.default_rng(number).integers(0, 120, (64, 96, 3), dtype=np.uint8)
    image[..., number // 8] += 120
    return encode_canonical(image, 0, 90)


def _embeddings(uid: str, numbers: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """(n, 1, D) near one center per clip; those of the copy are those of the original."""
    seed = list(SOURCES).index("take2" if uid == "copy" else uid)
    noise = np.random.default_rng(seed).standard_normal((FRAMES, DIM))
    rows = centers[numbers // 8] + 0.5 * noise[numbers]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)[:, None]


def _label(writer: CacheWriter, labels: LabelSet, batches: dict[str, FrameBatch], centers: np.ndarray) -> None:
    writer.create_label_set(labels, None)
    for part in writer.plan:
        writer.publish_clips(labels.name, part.part, [clip for video in part.videos for clip in clips_of(video.uid)])
    for unit, batch in batches.items() if labels.has_logits else ():
        logits = 9 * batch.embeddings.astype(np.float32) @ centers.T.astype(np.float32)
        writer.commit_logits(labels.name, unit, batch.keys, logits, {})
