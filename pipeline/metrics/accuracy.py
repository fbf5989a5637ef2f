"""Numbers that compare predictions with labels and with a teacher. Pure numpy; knows no model and no files."""

import numpy as np


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float | None:
    """Share of rows whose label is among the k largest logits. (N, C), (N,) with -1 for unlabeled: left out."""
    labeled = labels >= 0
    if not labeled.any() or logits.shape[1] == 0:
        return None
    best = top_k(logits[labeled], k)
    return float((best == labels[labeled, None]).any(1).mean())


def mean_class_accuracy(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean over the classes that occur of their top-1 accuracy."""
    per_class = [value["top1"] for value in class_accuracies(logits, labels).values()]
    return float(np.mean(per_class)) if per_class else None


def class_accuracies(logits: np.ndarray, labels: np.ndarray) -> dict[int, dict]:
    """class -> {"clips": how many, "top1": accuracy} for the classes that occur."""
    if logits.shape[1] == 0:
        return {}
    right = logits.argmax(1) == labels
    occurring = [int(c) for c in np.unique(labels) if c >= 0]
    return {c: {"clips": int((labels == c).sum()), "top1": float(right[labels == c].mean())} for c in occurring}


def agreement(logits: np.ndarray, teacher_logits: np.ndarray, k: int = 1) -> float | None:
    """Share of rows where the teacher's first class is among the student's k largest logits."""
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
    """Top-1 where the nearest class text is the answer (Radford et al. 2021).

    (N, D) embeddings and (C, D) class texts, all of unit length; (N,) labels, -1 for unlabeled: left out.
    """
    return top_k_accuracy(embeddings @ class_text.astype(embeddings.dtype).T, labels, 1)


def confusion_counts(logits: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """[true class, predicted class, clips] for what occurs, in order; unlabeled rows are left out."""
    labeled = labels >= 0
    if logits.shape[1] == 0 or not labeled.any():
        return []
    pairs = np.stack([labels[labeled], logits[labeled].argmax(1)], axis=1)
    found, clips = np.unique(pairs, axis=0, return_counts=True)
    return [[int(true), int(predicted), int(n)] for (true, predicted), n in zip(found, clips, strict=True)]


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean cosine of the rows of two (N, D) arrays; 0 where a row is all zeros."""
    return float(cosines(a, b).mean())


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) float64 cosines of the rows of two (N, D) arrays; 0 where a row is all zeros."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / np.where(lengths > 0, lengths, 1)


def clip_embeddings(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Normalized mean of the frames that are there: (N, T, D), (N, T) bool -> (N, D); 0 where they cancel out."""
    means = clip_logits(frames, mask)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return means / np.where(lengths > 0, lengths, 1)


def clip_logits(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the frames that are there: (N, T, C), (N, T) bool -> (N, C)."""
    weight = mask[..., None].astype(frames.dtype)
    return (frames * weight).sum(1) / weight.sum(1)


def top_k(logits: np.ndarray, k: int) -> np.ndarray:
    """(N, k) classes by falling logit; among equal logits the lower class comes first."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :k]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(N, C) logits -> (N, C) float64 logarithms of probabilities."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
