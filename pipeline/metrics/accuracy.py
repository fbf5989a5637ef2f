"""Accuracy, agreement, divergence and cosine of predictions, against labels and against a teacher. Pure numpy."""

import numpy as np

from embedonce.pipeline.metrics.results_schema import ConfusionEntry


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float | None:
    """Share of rows whose label is among the k largest logits: (N, C), (N,). Label -1 is unlabeled and left out."""
    labeled = labels >= 0
    if not labeled.any() or logits.shape[1] == 0:
        return None
    best = top_k(logits[labeled], k)
    return float((best == labels[labeled, None]).any(1).mean())


def mean_class_accuracy(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean of the top-1 accuracies of all classes that occur; None if none does."""
    per_class = [top1 for _, top1 in class_accuracies(logits, labels).values()]
    return float(np.mean(per_class)) if per_class else None


def class_accuracies(logits: np.ndarray, labels: np.ndarray) -> dict[int, tuple[int, float]]:
    """class -> (number of clips, top-1 accuracy), for the classes that occur."""
    if logits.shape[1] == 0:
        return {}
    right = logits.argmax(1) == labels
    occurring = [int(c) for c in np.unique(labels) if c >= 0]
    return {c: (int((labels == c).sum()), float(right[labels == c].mean())) for c in occurring}


def agreement(logits: np.ndarray, teacher_logits: np.ndarray, k: int = 1) -> float | None:
    """Share of rows whose top-1 class of the teacher is among the student's k largest logits."""
    return top_k_accuracy(logits, teacher_logits.argmax(1), k) if teacher_logits.shape[1] and len(logits) else None


def kl_divergence(teacher_logits: np.ndarray, logits: np.ndarray) -> float | None:
    """Mean over rows of KL(teacher || student) in nats, of the softmaxes of two (N, C) arrays at temperature 1."""
    if not len(logits) or not logits.shape[1] or not teacher_logits.shape[1]:
        return None
    return float(divergences(teacher_logits, logits).mean())


def divergences(teacher_logits: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(N,) float64 KL(teacher || student) of each row, in nats; C > 0."""
    teacher, student = log_softmax(teacher_logits), log_softmax(logits)
    return (np.exp(teacher) * (teacher - student)).sum(1)


def zero_shot_accuracy(embeddings: np.ndarray, class_text: np.ndarray, labels: np.ndarray) -> float | None:
    """Top-1 accuracy of predicting the class with the nearest text embedding (Radford et al. 2021).

    (N, D) embeddings and (C, D) class texts, all of unit length; (N,) labels, -1 is unlabeled and left out.
    """
    return top_k_accuracy(embeddings @ class_text.astype(embeddings.dtype).T, labels, 1)


def confusion_counts(logits: np.ndarray, labels: np.ndarray) -> list[ConfusionEntry]:
    """(true class, predicted class, clips) for every pair that occurs, in order; unlabeled rows are left out."""
    labeled = labels >= 0
    if logits.shape[1] == 0 or not labeled.any():
        return []
    pairs = np.stack([labels[labeled], logits[labeled].argmax(1)], axis=1)
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    return [(int(true), int(predicted), int(n)) for (true, predicted), n in zip(unique, counts, strict=True)]


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean cosine of the rows of two (N, D) arrays; a row of zeros counts as 0."""
    return float(cosines(a, b).mean())


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) float64 cosines of the rows of two (N, D) arrays; 0 for a row of zeros."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / np.where(lengths > 0, lengths, 1)


def clip_embeddings(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Normalized mean over unmasked frames: (N, T, D), (N, T) bool -> (N, D); 0 if they cancel out."""
    means = clip_logits(frames, mask)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return means / np.where(lengths > 0, lengths, 1)


def clip_logits(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over unmasked frames: (N, T, C), (N, T) bool -> (N, C)."""
    weight = mask[..., None].astype(frames.dtype)
    return (frames * weight).sum(1) / weight.sum(1)


def top_k(logits: np.ndarray, k: int) -> np.ndarray:
    """(N, k) classes by falling logit; ties go to the lower class number."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :k]


def most_likely(logits: np.ndarray, k: int) -> tuple[tuple[int, float], ...]:
    """(C,) logits -> (class, probability) of the k most likely classes, at temperature 1; empty if C is 0."""
    if not len(logits):
        return ()
    probabilities = np.exp(log_softmax(logits[None])[0])
    return tuple((int(c), float(probabilities[c])) for c in top_k(logits[None], k)[0])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(N, C) logits -> (N, C) float64 log-probabilities."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
