"""Which score on the selection clips decides which epoch of a student is the best."""

from dataclasses import dataclass

import numpy as np

from embedonce.models.losses.registry import uses
from embedonce.models.losses.term import LossSettings, Need
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions

TOP1, MEAN_CLASS, COSINE, LOSS = "top-1 accuracy", "mean class accuracy", "cosine", "training loss"
MAP = "mean average precision"
UNBALANCED = 2.0  # times as many clips as the other classes have on average


@dataclass(frozen=True)
class SelectionRule:
    """score: one of the names above. reason: why this one, in words."""

    score: str
    reason: str

    def __str__(self) -> str:
        return f"the best epoch is chosen by {self.score}: {self.reason}"


def selection_rule(selection: ClipDataset, settings: LossSettings) -> SelectionRule:
    """The rule for these selection clips. Accuracy counts if a term trains on labels."""
    if not len(selection):
        return SelectionRule(LOSS, "there are no selection clips")
    if not uses(settings, Need.LABELS):
        return SelectionRule(COSINE, "no loss term trains on labels")
    if not selection.labeled.any():
        return SelectionRule(COSINE, "no selection clip has a label")
    if any(clip.labels is not None for clip in selection.clips):
        return SelectionRule(MAP, "clips have several labels")
    return accuracy_rule(selection.label_array)


def accuracy_rule(labels: np.ndarray) -> SelectionRule:
    """The rule for labels (N,), -1 for unlabeled, at least one of which is a class.

    Mean class accuracy if the largest class has more than twice as many clips as the other classes have on average, as
    top-1 is then mostly that of the largest class; else top-1.
    """
    counts = np.unique(labels[labels >= 0], return_counts=True)[1]
    largest, others = counts.max(), (counts.sum() - counts.max()) / max(1, len(counts) - 1)
    sizes = f"the largest class has {largest} selection clips, the others {others:.3g} on average"
    if len(counts) > 1 and largest > UNBALANCED * others:
        return SelectionRule(MEAN_CLASS, f"classes are unbalanced ({sizes})")
    return SelectionRule(TOP1, f"classes are balanced ({sizes})" if len(counts) > 1 else "only one class has clips")


def selection_score(predictions: Predictions, rule: SelectionRule) -> tuple[float, float]:
    """The score of an epoch, larger is better: the accuracy that the rule names, if any, then the cosine."""
    accuracies = {TOP1: "top1", MEAN_CLASS: "mean_class_accuracy", MAP: "mean_average_precision"}
    accuracy = getattr(predictions, accuracies[rule.score]) if rule.score in accuracies else None
    return accuracy or 0.0, predictions.cosine
