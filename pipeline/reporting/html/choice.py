"""Which clips to show of an evaluation, and how often student and teacher are right. Pure numpy on predictions.

Knows neither what the clips look like nor where they lie.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics import accuracy

TOP_K = 3


@dataclass(frozen=True)
class Choice:
    """Clips to show, as positions in the predictions, the most telling first.

    worst_by, best_by: by which measure, in words.
    """

    worst: tuple[int, ...]
    best: tuple[int, ...]
    worst_by: str
    best_by: str


def choose(found: Predictions, count: int) -> Choice:
    """At most count clips of each kind; no clip is both.

    Labeled clips by the student's cross-entropy, and by its confidence where it is right. Where none is labeled: by
    the KL divergence from the teacher, and by confidence where both agree. Where there are no logits: by the cosine.
    """
    labeled, every = found.labels >= 0, np.ones(len(found.labels), bool)
    if found.logits.shape[1] and labeled.any():
        judged, cost, groups = labeled, _cross_entropy(found.logits, found.labels), found.labels
        words = "largest cross-entropy of the student", "right with the highest confidence, one of each class first"
    elif found.logits.shape[1] and found.teacher_logits.shape[1]:
        judged, groups = every, found.teacher_logits.argmax(1)
        cost = accuracy.divergences(found.teacher_logits, found.logits)
        words = "largest divergence from the teacher", "both agree, the surest first, one of each class before others"
    else:
        cost = -accuracy.cosines(found.embeddings, found.teacher_embeddings)
        order = [int(i) for i in np.argsort(-cost, kind="stable")]
        best = order[::-1][: min(count, len(order) // 2)]
        worst = [i for i in order if i not in best][:count]
        return Choice(tuple(worst), tuple(best), "smallest cosine with the teacher", "largest cosine with the teacher")
    is_good = judged & (found.logits.argmax(1) == groups)
    best = _spread(np.flatnonzero(is_good), accuracy.log_softmax(found.logits).max(1), groups, count)
    worst = [int(i) for i in np.argsort(-cost, kind="stable") if judged[i] and i not in best][:count]
    return Choice(tuple(worst), tuple(best), *words)


def who_is_right(found: Predictions) -> dict[str, int] | None:
    """Clips by whose first class is the label: both, teacher, student (alone), neither; None where it is unknown."""
    labeled = found.labels >= 0
    if not (labeled.any() and found.logits.shape[1] and found.teacher_logits.shape[1]):
        return None
    student, teacher = (
        logits[labeled].argmax(1) == found.labels[labeled] for logits in (found.logits, found.teacher_logits)
    )
    sides = {"both": student & teacher, "teacher": teacher & ~student, "student": student & ~teacher}
    return {name: int(mask.sum()) for name, mask in (sides | {"neither": ~student & ~teacher}).items()}


def guesses(logits: np.ndarray) -> tuple[tuple[int, float], ...]:
    """(C,) logits -> (class, probability) of the likeliest classes, at temperature 1; empty where C is 0."""
    if not len(logits):
        return ()
    shares = np.exp(accuracy.log_softmax(logits[None])[0])
    return tuple((int(c), float(shares[c])) for c in accuracy.top_k(logits[None], TOP_K)[0])


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) of each clip; meaningless where it has no label."""
    return -accuracy.log_softmax(logits)[np.arange(len(labels)), labels]


def _spread(candidates: np.ndarray, score: np.ndarray, groups: np.ndarray, count: int) -> list[int]:
    """The candidates of highest score: the best of every group before the second of any."""
    ordered = sorted(candidates.tolist(), key=lambda i: (-score[i], i))
    firsts = list({int(groups[i]): i for i in reversed(ordered)}.values())
    firsts.sort(key=lambda i: (-score[i], i))
    return [*firsts, *(i for i in ordered if i not in set(firsts))][:count]
