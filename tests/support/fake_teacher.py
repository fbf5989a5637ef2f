"""A teacher without torch: a fixed random projection of coarse pixels. Small, fast, deterministic."""

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.labeling.label_sets import write_labels
from embedonce.pipeline.labeling.requests import request_label_set
from embedonce.pipeline.labeling.zero_shot_logits import with_class_text

DIM = 16
SIZE = 32


def fake_identity(**changes) -> TeacherIdentity:
    fields = {
        "name": "fake",
        "weights": "random",
        "weights_sha256": "0" * 64,
        "activation": "gelu",
        "input_size": SIZE,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "embed_dim": DIM,
        "parameters_image": 1000,
        "parameters_total": 2000,
        "bytes_image": 4000,
        "bytes_total": 8000,
    }
    return TeacherIdentity(**(fields | changes))


class FakeTeacher:
    def __init__(self, **changes):
        self.identity = fake_identity(**changes)
        generator = np.random.default_rng(0)
        self._projection = generator.standard_normal((4 * 4 * 3, self.identity.embed_dim)).astype(np.float32)
        self.images_seen = 0

    def embed(self, crops: np.ndarray) -> np.ndarray:
        assert crops.dtype == np.uint8 and crops.shape[1:] == (SIZE, SIZE, 3)
        self.images_seen += len(crops)
        coarse = crops.reshape(len(crops), 4, SIZE // 4, 4, SIZE // 4, 3).mean((2, 4)) / 255 + 0.01
        flat = coarse.reshape(len(crops), -1).astype(np.float32)
        # One by one: a product of matrices is rounded differently for other numbers of rows.
        vectors = np.stack([row @ self._projection for row in flat])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def device_facts(self) -> dict[str, str]:
        return {}

    def drop_text_tower(self) -> None:
        pass

    def class_text(self, prompts: list[list[str]]) -> tuple[np.ndarray, float]:
        seeds = [sum(map(ord, "".join(texts))) for texts in prompts]
        vectors = np.stack([np.random.default_rng(s).standard_normal(self.identity.embed_dim) for s in seeds])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32), 100.0


def write_zero_shot(writer, source, teacher=None, name: str = "zero-shot"):
    """The label set of a source's classes over what the writer holds, from this teacher's text tower."""
    request = with_class_text(request_label_set(source, "", "zero-shot", name), teacher or FakeTeacher())
    return write_labels(writer, request, seed=0)
