"""Checks of what a teacher returns: its code may be the user's own."""

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.cache.vectors import MIN_COSINE, embeddings_problem
from embedonce.models.errors import ModelError
from embedonce.pipeline.teachers.teacher import Teacher

NUM_PROBES = 3


def checked_vectors(vectors: np.ndarray, count: int, identity: TeacherIdentity, name: str = "") -> np.ndarray:
    """What a teacher returned for `count` images; ModelError unless it is (count, D) float32 of unit vectors.

    Vectors that are not finite pass: an extraction says which frame they are of. name: for messages.
    """
    name, dim = name or identity.name, identity.embed_dim
    kind = f"{vectors.dtype} {vectors.shape}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
    if kind != f"float32 {(count, dim)}":
        raise ModelError(f"the teacher {name} returned {kind} for {count} images, not float32 {(count, dim)}")
    problem = embeddings_problem(vectors[np.isfinite(vectors).all(1)])
    if problem is not None:
        raise ModelError(f"the teacher {name} returned {problem}")
    return vectors


def checked_probe(teacher: Teacher, name: str) -> Teacher:
    """The teacher, after it has embedded a few inputs twice. ModelError if the results are invalid or differ."""
    shape = (NUM_PROBES, *teacher.identity.input_shape)
    crops = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    crops[0] = 128
    first, second = (checked_vectors(teacher.embed(crops), NUM_PROBES, teacher.identity, name) for _ in range(2))
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ModelError(f"the teacher {name} returned embeddings that are not finite")
    worst = float((first * second).sum(1).min())
    if worst < MIN_COSINE:
        raise ModelError(
            f"the teacher {name} embeds the same images differently each time (cosine {worst:.4f}): put it into "
            "evaluation mode, without dropout and random numbers"
        )
    return teacher
