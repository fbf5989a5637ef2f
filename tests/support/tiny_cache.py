"""A small labeled cache in seconds: flat-colored frames, embeddings near one vector per class."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.numpy

from embedonce.cache.heads import head_tensors
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.schema import FrameBatch, Segment
from embedonce.cache.store import open_writer
from embedonce.pipeline.frames.canonical_frame import encode_canonical
from tests.conftest import make_cache_identity

CLASSES = ("red", "green", "blue")
DIM = 16
FRAMES_PER_CLIP = 5


def make_tiny_cache(root: Path, num_videos: int = 12, num_views: int = 0, **settings) -> Path:
    """num_videos videos of three clips of five frames, each clip of one class; every third video is `val`.

    settings: backend, labeled (False: no labels), logits (False: no soft logits), stores_logits (False: they are
    computed when read), dim, several (True: clips have the list of labels that several_labels() says).
    """
    generator = np.random.default_rng(0)
    dim = settings.get("dim", DIM)
    writer = open_writer(root, make_cache_identity(settings.get("backend", "hdf5"), num_views, embed_dim=dim))
    centers = generator.standard_normal((len(CLASSES), dim))
    clips, batches = [], []
    for number in range(num_videos):
        uid, labels = f"v{number}", generator.permutation(len(CLASSES))
        classes = np.repeat(labels, FRAMES_PER_CLIP)
        batches.append(_batch(uid, classes, centers, num_views, generator))
        for i, label in enumerate(labels):
            start = i * FRAMES_PER_CLIP / 2
            label = int(label) if settings.get("labeled", True) else -1
            split = "val" if number % 3 == 0 else "train"
            clips.append(ClipLabel(f"{uid}-{i}", uid, start, start + FRAMES_PER_CLIP / 2, label, split))
            if settings.get("several"):
                clips[-1] = replace(clips[-1], label=-1, labels=several_labels(label))
        writer.commit_frames(f"{number:06d}", batches[-1], {})
    kind = "fitted" if settings.get("logits", True) else "none"
    classes, stores = CLASSES if settings.get("classes", True) else (), settings.get("stores_logits", True)
    head = None if stores else safetensors.numpy.save(head_tensors([centers.astype(np.float32), np.zeros(3, "f4")]))
    labels = LabelSet("tiny", kind, classes, (), None, {}, stores_logits=stores)
    writer.create_label_set(replace(labels, multi_label=settings.get("several", False)), head)
    writer.publish_clips("tiny", 0, clips)
    if settings.get("logits", True) and stores:
        for number, batch in enumerate(batches):
            logits = batch.embeddings.astype(np.float32) @ centers.T.astype(np.float32)
            writer.commit_logits("tiny", f"{number:06d}", batch.keys, logits, {})
    writer.close()
    return root


def several_labels(color: int) -> tuple[int, ...]:
    """Red clips are red, green ones are green and blue, and blue ones are blue."""
    return ((0,), (1, 2), (2,))[color]


def _batch(uid: str, classes: np.ndarray, centers: np.ndarray, num_views: int, generator) -> FrameBatch:
    rows = len(classes)
    index = np.arange(rows, dtype=np.int64)
    views = np.array([[0, 0, 64, 64, 0, 3]] + [[v, 2 * v, 40, 40, v % 2, 3] for v in range(1, 1 + num_views)], np.int32)
    embeddings = centers[classes][:, None] + 0.3 * generator.standard_normal((rows, 1 + num_views, centers.shape[1]))
    embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
    jpegs = []
    for label in classes:
        image = generator.integers(0, 90, (64, 64, 3), dtype=np.uint8)
        image[..., label] += 120
        jpegs.append(encode_canonical(image, 0, 90))
    segment = Segment(uid, (1, 1000), 0, views, index, index * 500, index, np.zeros(rows, np.uint8), index)
    crop_crc32 = np.zeros(embeddings.shape[:2], np.uint32)
    return FrameBatch((segment,), tuple(jpegs), embeddings.astype(np.float16), crop_crc32)
