"""Choose the example clips of a report, and count how often student and teacher are right. Pure numpy."""

from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics import accuracy


@dataclass(frozen=True)
class Choice:
    """Clips to show, as positions in the predictions, most extreme first; worst_by, best_by: the criteria, as text."""

    worst: tuple[int, ...]
    best: tuple[int, ...]
    worst_by: str
    best_by: str


def choose(predictions: Predictions, count: int) -> Choice:
    """Choose at most count worst and count best clips; none is both.

    Labeled clips: by the student's cross-entropy, and by its confidence if it is right. Without labels: by the KL
    divergence from the teacher, and by confidence if both agree. Without logits: by the cosine of embeddings.
    """
    logits, teacher_logits, labels = predictions.logits, predictions.teacher_logits, predictions.labels
    labeled = labels >= 0
    if logits.shape[1] and labeled.any():
        candidates, cost, groups = labeled, _cross_entropy(logits, labels), labels
        criteria = "largest cross-entropy of the student", "right with the highest confidence, one per class first"
    elif logits.shape[1] and teacher_logits.shape[1]:
        candidates, groups = np.ones(len(labels), bool), teacher_logits.argmax(1)
        cost = accuracy.divergences(teacher_logits, logits)
        criteria = "largest divergence from the teacher", "both agree, highest confidence, one per class first"
    else:
        cost = -accuracy.cosines(predictions.embeddings, predictions.teacher_embeddings)
        order = [int(i) for i in np.argsort(-cost, kind="stable")]
        best = order[::-1][: min(count, len(order) // 2)]
        worst = [i for i in order if i not in best][:count]
        return Choice(tuple(worst), tuple(best), "smallest cosine with the teacher", "largest cosine with the teacher")
    is_good = candidates & (logits.argmax(1) == groups)
    best = _spread(np.flatnonzero(is_good), accuracy.log_softmax(logits).max(1), groups, count)
    worst = [int(i) for i in np.argsort(-cost, kind="stable") if candidates[i] and i not in best][:count]
    return Choice(tuple(worst), tuple(best), *criteria)


def who_is_right(predictions: Predictions) -> dict[str, int] | None:
    """Numbers of clips that both, only the teacher, only the student, or neither classifies correctly.

    None without labels, or if either model has no logits.
    """
    logits, teacher_logits, labeled = predictions.logits, predictions.teacher_logits, predictions.labels >= 0
    if not (labeled.any() and logits.shape[1] and teacher_logits.shape[1]):
        return None
    labels = predictions.labels[labeled]
    student, teacher = (outputs[labeled].argmax(1) == labels for outputs in (logits, teacher_logits))
    masks = {"both": student & teacher, "teacher": teacher & ~student, "student": student & ~teacher}
    masks["neither"] = ~student & ~teacher
    return {name: int(mask.sum()) for name, mask in masks.items()}


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) of each clip; meaningless for unlabeled ones."""
    return -accuracy.log_softmax(logits)[np.arange(len(labels)), labels]


def _spread(candidates: np.ndarray, score: np.ndarray, groups: np.ndarray, count: int) -> list[int]:
    """The candidates with the highest scores: the best of every group first."""
    ordered = sorted(candidates.tolist(), key=lambda i: (-score[i], i))
    firsts = list({int(groups[i]): i for i in reversed(ordered)}.values())
    firsts.sort(key=lambda i: (-score[i], i))
    return [*firsts, *(i for i in ordered if i not in set(firsts))][:count]
