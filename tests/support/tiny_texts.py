"""Texts of the clips of a tiny cache: a sentence for each color and number, with vectors near that color's center."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from embedonce.cache.clip_texts import ClipTexts, extended
from embedonce.cache.labels import ClipLabel
from embedonce.cache.store import open_reader, open_writer
from tests.support.tiny_cache import CLASSES, DIM

NUM_TEXTS = 2  # of each color


def text_of(clip: ClipLabel) -> str:
    """Every seventh clip has none."""
    number = 3 * int(clip.video_uid.removeprefix("v")) + int(clip.clip_id[-1])
    return "" if number % 7 == 6 else f"{CLASSES[clip.label]} number {number % NUM_TEXTS}"


def vector_of(text: str) -> np.ndarray:
    """(DIM,) float64 unit vector: the color's center, as make_tiny_cache() draws it, and a little noise."""
    centers = np.random.default_rng(0).standard_normal((len(CLASSES), DIM))
    noise = np.random.default_rng(list(text.encode())).standard_normal(DIM)
    vector = centers[CLASSES.index(text.split()[0])] + 0.2 * noise
    return vector / np.linalg.norm(vector)


def unrelated_vector_of(text: str) -> np.ndarray:
    """(DIM,) float64 unit vector, the same for all texts of a color, which has nothing to do with the teacher's."""
    vector = np.random.default_rng(list(text.split()[0].encode())).standard_normal(DIM)
    return vector / np.linalg.norm(vector)


def write_texts(
    root: Path, label_set: str = "tiny", embed: Callable[[str], np.ndarray] = vector_of, text_of=text_of
) -> ClipTexts:
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        clips = writer.reader().label_set(label_set).clips
        texts, _ = extended(ClipTexts(), {(clip.video_uid, clip.clip_id): text_of(clip) for clip in clips}, clips)
        return writer.texts(label_set).write(texts, lambda part: np.stack(list(map(embed, part))))
