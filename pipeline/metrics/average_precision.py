"""Average precision of label sets with several labels per clip, with intervals over recordings. Pure numpy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.metrics.bootstrap_intervals import MIN_RECORDINGS, figure_interval

MAX_GROUPS = 100  # more recordings are left out in groups of equal numbers


def average_precisions(scores: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """(C,) average precision of each class, NaN for classes without positives.

    scores (N, C); positives (N, C) bool. Σ (R_k − R_(k−1)) P_k over the distinct scores from the highest down, with
    precision and recall of the clips with at least this score, so that the order of equal scores does not matter.
    """
    ranked = (_Ranking.of(*columns) for columns in zip(scores.T, positives.T, strict=True))
    return np.array([ranking.average_precision(np.ones(len(scores))) for ranking in ranked])


def mean_average_precision(scores: np.ndarray, positives: np.ndarray) -> float | None:
    """Mean of average_precisions() over the classes with positives (macro); None if there are none."""
    found = average_precisions(scores, positives)
    return float(np.nanmean(found)) if np.isfinite(found).any() else None


def micro_average_precision(scores: np.ndarray, positives: np.ndarray) -> float | None:
    """Average precision of all pairs of clip and class in one ranking; None without positives."""
    return mean_average_precision(scores.reshape(-1, 1), positives.reshape(-1, 1))


def map_interval(
    scores: np.ndarray, positives: np.ndarray, recordings: Sequence[str] | np.ndarray
) -> tuple[float, float] | None:
    """95 % interval of the mean average precision. None for fewer than 6 recordings with positives, or without width.

    Recordings are left out one at a time, or in MAX_GROUPS groups if there are more; a class without positives in the
    others is left out with them.
    """
    resampled = _Resampled.of(positives, recordings)
    return None if resampled is None else resampled.interval(*resampled.figures(scores, positives))


def paired_map_difference(
    a: np.ndarray, b: np.ndarray, positives: np.ndarray, recordings: Sequence[str] | np.ndarray
) -> tuple[float, tuple[float, float] | None] | None:
    """Mean average precision of scores a, less that of b, and its 95 % interval; None without positives."""
    figures = [mean_average_precision(scores, positives) for scores in (a, b)]
    if figures[0] is None or figures[1] is None:
        return None
    difference, resampled = figures[0] - figures[1], _Resampled.of(positives, recordings)
    if resampled is None:
        return difference, None
    (_, without_a), (_, without_b) = (resampled.figures(scores, positives) for scores in (a, b))
    limits = resampled.interval((difference + 1) / 2, (without_a - without_b + 1) / 2)
    return difference, limits and (2 * limits[0] - 1, 2 * limits[1] - 1)


@dataclass(frozen=True)
class _Ranking:
    """The N clips of one class by falling score. ends: positions at which a run of equal scores ends."""

    order: np.ndarray
    ends: np.ndarray
    positives: np.ndarray  # in this order

    @classmethod
    def of(cls, scores: np.ndarray, positives: np.ndarray) -> "_Ranking":
        order = np.argsort(-scores, kind="stable")
        return cls(order, np.flatnonzero(np.diff(scores[order], append=np.nan) != 0), positives[order])

    def average_precision(self, weights: np.ndarray) -> float:
        """weights (N,): 1 for clips that count, 0 for others. NaN without positives."""
        weights = weights[self.order]
        found, ranked = (np.cumsum(values)[self.ends] for values in (weights * self.positives, weights))
        if not len(found) or not found[-1]:
            return np.nan
        precision = np.divide(found, ranked, where=ranked > 0, out=np.zeros(len(found)))
        return float((np.diff(found, prepend=0) * precision).sum() / found[-1])


@dataclass(frozen=True)
class _Resampled:
    """group (N,): number of each clip's group of recordings. weights (G,): of the groups in the figure."""

    group: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, positives: np.ndarray, recordings: Sequence[str] | np.ndarray) -> "_Resampled | None":
        number = np.unique(np.asarray(recordings, str), return_inverse=True)[1]
        group = number % MAX_GROUPS
        sizes = positives.sum(0)
        shares = np.divide(positives, sizes, where=sizes > 0, out=np.zeros(positives.shape)).sum(1)
        is_enough = len(np.unique(number[positives.any(1)])) >= MIN_RECORDINGS
        return cls(group, np.bincount(group, shares)) if is_enough else None

    def figures(self, scores: np.ndarray, positives: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean average precision, and (G,) that without each group."""
        keep = [self.group != left_out for left_out in range(len(self.weights))]
        table = np.full((1 + len(keep), scores.shape[1]), np.nan)
        for column in range(scores.shape[1]):
            ranking = _Ranking.of(scores[:, column], positives[:, column])
            table[0, column] = ranking.average_precision(np.ones(len(scores)))
            if np.isfinite(table[0, column]):
                table[1:, column] = [ranking.average_precision(kept) for kept in keep]
        means = np.nanmean(table, axis=1)
        return float(means[0]), means[1:]

    def interval(self, figure: float, without: np.ndarray) -> tuple[float, float] | None:
        return figure_interval(figure, without, self.weights)
