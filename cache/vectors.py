"""Checks of embeddings and logits."""

import numpy as np

from embedonce.cache.limits import MAX_LOGIT

MIN_COSINE = 0.999  # of two embeddings of the same pixels by the same teacher, on different machines


def embeddings_problem(embeddings: np.ndarray) -> str | None:
    """What is wrong with (…, D) embeddings of any float type, which must be unit vectors; None if nothing is."""
    values = embeddings.astype(np.float32, copy=False)
    squares = np.einsum("...d,...d->...", values, values)
    if not np.isfinite(squares).all():
        return "embeddings that are not finite"
    if (np.abs(squares - 1) > 0.1).any():
        return "embeddings that are not unit vectors"
    return None


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, V) float32 of (n, V, D) float16 embeddings, whose rounded values are not exactly of unit length."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def logits_problem(logits: np.ndarray) -> str | None:
    """What is wrong with float32 logits of any shape; None if nothing is."""
    if logits.size and not np.abs(logits).max() <= MAX_LOGIT:  # NaN fails every comparison
        return f"logits that are not finite, or beyond ±{MAX_LOGIT:g}"
    return None
