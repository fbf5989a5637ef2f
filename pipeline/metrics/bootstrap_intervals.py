"""95 % confidence intervals of means over clips, clustered by recording, and of paired differences.

Clips of one recording are correlated, so recordings are left out one at a time, each with all of its clips (the
delete-one-cluster jackknife, with Student's t). Percentile bootstraps over few recordings cover too little.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

MIN_RECORDINGS = 6  # with fewer, an interval is meaningless
FEW_RECORDINGS = 20  # up to here the intervals are rough estimates
_STEPS = 100_001


def mean_interval(values: np.ndarray, recordings: Sequence[str] | np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean of (N,) values from 0 to 1, one per clip, all clips weighted equally.

    None for fewer than 6 recordings, or if all recordings have the same mean. ValueError for values outside 0 to 1.
    """
    values = np.asarray(values, float)
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"values must lie in 0 to 1, got {values.min():g} to {values.max():g}")
    names, group = np.unique(np.asarray(recordings, str), return_inverse=True)
    if len(names) < MIN_RECORDINGS:
        return None
    low, high = share_limits(np.bincount(group, values), np.bincount(group))
    return None if np.isnan(low) else (float(low), float(high))


def class_mean_interval(
    right: np.ndarray, labels: np.ndarray, recordings: Sequence[str] | np.ndarray
) -> tuple[float, float] | None:
    """95 % interval of mean class accuracy: the mean over classes of the share of their clips that are right.

    right (N,) bool and labels (N,), one per clip. A class whose only recording is left out is left out with it. None
    for fewer than 6 recordings, or if leaving out any recording changes nothing.
    """
    names, group = np.unique(np.asarray(recordings, str), return_inverse=True)
    if len(names) < MIN_RECORDINGS:
        return None
    label = np.unique(labels, return_inverse=True)[1]
    sizes, sums = np.bincount(label), np.bincount(label, right)
    weights = np.bincount(group, 1 / sizes[label])
    return figure_interval((sums / sizes).mean(), _class_means_without(right, label, group), weights)


def figure_interval(figure: float, without: np.ndarray, weights: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of a figure from 0 to 1. None if leaving out any recording changes nothing.

    without (G,): the figure without each recording. weights (G,): of the recordings in the figure.
    """
    low, high = _limits(np.asarray(figure), without, weights)
    return None if np.isnan(low) else (float(low), float(high))


def _class_means_without(right: np.ndarray, label: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(G,) mean class accuracies without the clips of each recording; label, group (N,): numbers from 0, all used.

    Only the classes that a recording has are computed anew.
    """
    sizes, sums = np.bincount(label), np.bincount(label, right)
    pairs, pair = np.unique(group * len(sizes) + label, return_inverse=True)
    of_group, of_class = np.divmod(pairs, len(sizes))
    left, left_right = sizes[of_class] - np.bincount(pair), sums[of_class] - np.bincount(pair, right)
    shares = np.divide(left_right, left, where=left > 0, out=np.zeros(len(left)))
    total = (sums / sizes).sum() + np.bincount(of_group, shares - (sums / sizes)[of_class])
    return total / (len(sizes) - np.bincount(of_group, left == 0))


def paired_difference(
    a: np.ndarray, b: np.ndarray, recordings: Sequence[str] | np.ndarray
) -> tuple[float, tuple[float, float] | None]:
    """Mean of a - b and its 95 % interval; a, b: (N,) values from 0 to 1 of the same clips, in the same order."""
    differences = np.asarray(a, float) - np.asarray(b, float)
    limits = mean_interval((differences + 1) / 2, recordings)
    return float(differences.mean()), limits and (2 * limits[0] - 1, 2 * limits[1] - 1)


def share_limits(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (...) of the 95 % intervals of shares; sums, counts: (..., G) per recording.

    NaN if leaving out any recording changes nothing.
    """
    sums, counts = np.asarray(sums, float), np.asarray(counts, float)
    total, clips = sums.sum(-1), counts.sum(-1)
    return _limits(total / clips, (total[..., None] - sums) / (clips[..., None] - counts), counts)


def _limits(share: np.ndarray, without: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the intervals of figures (...) from 0 to 1, from those (..., G) without each recording.

    Computed on log-odds, so that they stay in 0 to 1. weights (..., G): of the recordings in the figure. Degrees of
    freedom: Kish's effective number of recordings, (Σw)² / Σw², less one.
    """
    groups = weights.shape[-1]
    error = np.sqrt((groups - 1) / groups * ((without - share[..., None]) ** 2).sum(-1))
    freedom = weights.sum(-1) ** 2 / (weights**2).sum(-1) - 1
    freedom = np.maximum(1, np.floor(freedom + 1e-9)).astype(int)
    quantile = np.vectorize(t_quantile, otypes=[float])(freedom)
    has_width = (error > 1e-9) & (share > 0) & (share < 1)
    inner = np.where(has_width, share, 0.5)
    odds, reach = np.log(inner / (1 - inner)), quantile * error / (inner * (1 - inner))
    ends = (1 / (1 + np.exp(np.clip(sign * reach - odds, -500, 500))) for sign in (1, -1))
    low, high = (np.where(has_width, end, np.nan) for end in ends)
    return low, high


@lru_cache
def t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, whose distribution function is an integral over cos^(freedom - 1)."""
    angle = np.linspace(0, np.pi / 2, _STEPS)
    density = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(np.sqrt(freedom) * np.tan(np.interp(0.95, mass / mass[-1], angle)))
