"""Checks of what a teacher returns: its code may be the user's own."""

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.cache.vectors import MIN_COSINE, embeddings_problem
from embedonce.models.errors import ModelError
from embedonce.pipeline.teachers.teacher import OverlappingTeacher, Teacher

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
    given = crops.copy()
    first, second = (_finite(teacher.embed(crops), teacher, name) for _ in range(2))
    if not np.array_equal(crops, given):
        raise ModelError(f"the teacher {name} changes the images that it is given: let it change a copy of them")
    worst = _worst(first, second)
    if worst < MIN_COSINE:
        raise ModelError(
            f"the teacher {name} embeds the same images differently each time (cosine {worst:.4f}): put it into "
            "evaluation mode, without dropout and random numbers"
        )
    if isinstance(teacher, OverlappingTeacher):
        _check_begun(teacher, crops, first, name)
    return teacher


def _check_begun(teacher: OverlappingTeacher, crops: np.ndarray, expected: np.ndarray, name: str) -> None:
    """ModelError unless two batches that are begun one after the other have the results of embed()."""
    pending = [teacher.begin(np.ascontiguousarray(images)) for images in (crops, crops[::-1])]
    begun, reversed_ones = (_finite(finish(), teacher, name) for finish in pending)
    lowest = min(_worst(begun, expected), _worst(reversed_ones[::-1], expected))
    if lowest < MIN_COSINE:
        raise ModelError(
            f"the teacher {name}: the results of begin() are not those of embed() (cosine {lowest:.4f}): a batch "
            "that is begun must not change the result of the one before"
        )


def _finite(vectors: np.ndarray, teacher: Teacher, name: str) -> np.ndarray:
    """A copy of what the teacher returned for the probes: it may use the memory again. ModelError if it is invalid."""
    if not np.isfinite(checked_vectors(vectors, NUM_PROBES, teacher.identity, name)).all():
        raise ModelError(f"the teacher {name} returned embeddings that are not finite")
    return vectors.copy()


def _worst(a: np.ndarray, b: np.ndarray) -> float:
    """The lowest cosine of two arrays of unit vectors, row by row."""
    return float((a * b).sum(1).min())
