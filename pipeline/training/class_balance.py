"""Unbalanced classes in training: weights of the task term, and epochs in which all classes are equally frequent.

Pure functions of the labels of the training clips, so that all processes of a run, and a resumed run, agree.
"""

import numpy as np

from embedonce.pipeline.clips.sampling import epoch_order


def class_weights(labels: np.ndarray, num_classes: int) -> tuple[float, ...]:
    """The weight of each class c: N / (K n_c), for n_c of N labeled clips and K classes that have clips.

    labels (M,): class numbers of the clips that are trained on, -1 for unlabeled. The mean weight of the labeled clips
    is 1, so that the scale of the loss stays the same. Classes without clips, which no label refers to, get 0.
    """
    counts = np.bincount(labels[labels >= 0], minlength=num_classes)
    occurring = np.count_nonzero(counts)
    weights = np.divide(counts.sum(), occurring * counts, out=np.zeros(num_classes), where=counts > 0)
    return tuple(weights.tolist())


def balanced_draws(labels: np.ndarray, draw: tuple[int, int]) -> np.ndarray:
    """(N,) draws for one epoch, as many as there are clips, in no particular order.

    labels (N,): class numbers, -1 for unlabeled. draw: (seed, epoch). Unlabeled clips are drawn once. The other draws
    are shared out equally to the classes that have clips, up to one that chance decides; so are those of a class to its
    clips. The r-th further draw of clip i in the epoch is i + r N, for which a ClipDataset takes other frames.
    """
    generator = np.random.default_rng((*draw, 3))
    by_class = np.argsort(labels, kind="stable")
    classes, starts = np.unique(labels[by_class], return_index=True)
    groups = np.split(by_class, starts[1:])
    parts = [group for label, group in zip(classes, groups, strict=True) if label < 0]
    labeled = [group for label, group in zip(classes, groups, strict=True) if label >= 0]
    for clips, count in zip(labeled, _shares(int((labels >= 0).sum()), len(labeled), generator), strict=True):
        number = np.arange(count)
        parts.append(generator.permutation(clips)[number % len(clips)] + number // len(clips) * len(labels))
    return np.concatenate(parts)


def balanced_order(shard_of_clip: np.ndarray, labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """(N,) the draws of balanced_draws(), shuffled within windows of a few shards as epoch_order() does."""
    draws = balanced_draws(labels, (seed, epoch))
    return draws[epoch_order(shard_of_clip[draws % len(labels)], seed, epoch)]


def _shares(total: int, parts: int, generator: np.random.Generator) -> np.ndarray:
    """(parts,) numbers that add up to total and differ by at most one; chance decides which are larger."""
    shares = np.full(parts, total // parts if parts else 0)
    shares[generator.permutation(parts)[: total - shares.sum()]] += 1
    return shares
