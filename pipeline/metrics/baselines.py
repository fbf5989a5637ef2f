"""Accuracy of the majority-class baseline: always predicting the most frequent class. Pure numpy."""

import numpy as np

from embedonce.pipeline.metrics.results_schema import Majority

LONG_TAIL = 2.0  # times chance: if one class is right this often, classes are far from equally frequent


def majority_baseline(train_labels: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Majority | None:
    """The accuracy of predicting the most frequent training class for every evaluated clip; None without labels.

    train_labels, labels: (N,) and (M,) class numbers, -1 for unlabeled. Without labeled training clips, the most
    frequent class of the evaluated clips is taken, which no classifier could know. Ties go to the lower class number.
    """
    evaluated = labels[labels >= 0]
    if not len(evaluated):
        return None
    known = train_labels[train_labels >= 0]
    label = int(np.bincount(known if len(known) else evaluated).argmax())
    is_right = evaluated == label
    mean_class_accuracy = float(is_right.any() / len(np.unique(evaluated)))
    return Majority(classes[label], float(is_right.mean()), mean_class_accuracy, "train" if len(known) else "judged")


def has_long_tail(majority: Majority | None, num_classes: int) -> bool:
    """Whether classes are so unequal in size that mean class accuracy is more telling than top-1."""
    return majority is not None and majority.top1 * num_classes >= LONG_TAIL
