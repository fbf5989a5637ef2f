"""What is to be had without looking at a clip: the accuracy of always naming the most frequent class. Pure numpy."""

import numpy as np

LONG_TAIL = 2.0  # times chance: where naming one class is so often right, classes are far from equally frequent


def majority_baseline(train_labels: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict | None:
    """The most frequent class of training, told of every judged clip; None where no judged clip has a label.

    train_labels, labels: (N,) and (M,) class numbers, negative where there is none. Without labeled training clips the
    most frequent class of the judged ones is taken, which no classifier could know. Of equally frequent ones the
    first.
    """
    judged = labels[labels >= 0]
    if not len(judged):
        return None
    known = train_labels[train_labels >= 0]
    label = int(np.bincount(known if len(known) else judged).argmax())
    is_right = judged == label
    return {
        "class": classes[label],
        "top1": float(is_right.mean()),
        "mean_class_accuracy": float(is_right.any() / len(np.unique(judged))),
        "from": "train" if len(known) else "judged",
    }


def has_long_tail(majority: dict | None, num_classes: int) -> bool:
    """Whether classes are so unequal that their mean says more than the share of clips."""
    return majority is not None and majority["top1"] * num_classes >= LONG_TAIL
