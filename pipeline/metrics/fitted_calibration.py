"""Fitting a temperature and thresholds to logits and labels, and figures of them on clips that they were not fitted to.

Pure numpy.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.metrics.accuracy import log_softmax
from embedonce.pipeline.metrics.calibration import expected_calibration_error, reliability

TEMPERATURES = (0.05, 20.0)  # the range that is searched
STEPS = 40  # of the bisection: far below rounding
MIN_LABELED = 20  # clips, below which nothing is fitted
MIN_CLIPS = 5  # clips predicted as a class, below which it has no threshold of its own
FOLDS = 5


@dataclass(frozen=True)
class Fit:
    """temperature: logits are divided by it. thresholds: (C,) float64, NaN for classes with too few clips.
    default_threshold: for these.
    """

    temperature: float
    thresholds: np.ndarray
    default_threshold: float

    def least(self, classes: np.ndarray) -> np.ndarray:
        """(N,) float64: the threshold of each of these (N,) int64 classes."""
        own = self.thresholds[classes]
        return np.where(np.isnan(own), self.default_threshold, own)


@dataclass(frozen=True)
class CrossFitted:
    """Figures of held-out folds: of clips that the temperature and thresholds were not fitted to.

    calibration_error_before, calibration_error: without and with the temperature; None with several labels per clip.
    kept: share of clips whose best class reaches its threshold. precision: share of these whose class is right; None
    if none is kept. accuracy: the same of all clips.
    """

    calibration_error_before: float | None
    calibration_error: float | None
    kept: float
    precision: float | None
    accuracy: float


def probabilities(logits: np.ndarray, temperature: float, multi_label: bool) -> np.ndarray:
    """(N, C) float64 of (N, C) logits: a softmax, or with several labels per clip sigmoids."""
    scaled = logits.astype(np.float64) / temperature
    return 1 / (1 + np.exp(-np.clip(scaled, -500, 500))) if multi_label else np.exp(log_softmax(scaled))


def fit(logits: np.ndarray, targets: np.ndarray, multi_label: bool) -> Fit:
    """Fit to N > 0 clips. logits: (N, C). targets: (N, C) bool, the classes of each clip.

    The temperature minimizes the negative log-likelihood. The threshold of a class maximizes the F1 score of the clips
    whose best class it is and reaches it, among the clips of that class.
    """
    temperature = fit_temperature(logits, targets, multi_label)
    shares = probabilities(logits, temperature, multi_label)
    best, share = shares.argmax(1), shares.max(1)
    right = targets[np.arange(len(best)), best]
    thresholds = np.full(logits.shape[1], np.nan)
    for number in np.unique(best):
        chosen = best == number
        if chosen.sum() >= MIN_CLIPS:
            thresholds[number] = _best_threshold(share[chosen], right[chosen], int(targets[:, number].sum()))
    return Fit(temperature, thresholds, _best_threshold(share, right, len(share)))


def fit_temperature(logits: np.ndarray, targets: np.ndarray, multi_label: bool) -> float:
    """The temperature, within TEMPERATURES, for which the negative log-likelihood of N > 0 clips is lowest.

    logits: (N, C), finite. targets: (N, C) bool. Targets are smoothed by the weight of one clip, as if that one had all
    classes alike: else clips that are all right would make the student as certain as it can be. The loss has one
    minimum in 1 / temperature, and its slope there is a sum of errors times logits, which is bisected.
    """
    uniform = 1 / 2 if multi_label else 1 / logits.shape[1]
    expected = (len(targets) * targets + uniform) / (len(targets) + 1)
    low, high = np.log(TEMPERATURES)
    for _ in range(STEPS):
        middle = (low + high) / 2
        errors = probabilities(logits, float(np.exp(middle)), multi_label) - expected
        low, high = (middle, high) if (errors * logits).sum() > 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def negative_log_likelihood(logits: np.ndarray, targets: np.ndarray, temperature: float, multi_label: bool) -> float:
    """In nats, mean over N > 0 clips, and with several labels per clip over classes. targets: (N, C) bool."""
    scaled = logits.astype(np.float64) / temperature
    if not multi_label:
        return -float(log_softmax(scaled)[targets].mean())
    return float(np.logaddexp(0, np.where(targets, -scaled, scaled)).mean())


def cross_fitted(logits: np.ndarray, targets: np.ndarray, groups: np.ndarray, multi_label: bool) -> CrossFitted | None:
    """Fit to all folds but one, in turns, and apply to that one. None with fewer than two groups.

    groups: (N,) of the recordings of clips; those of one recording are in one fold.
    """
    names, place = np.unique(groups, return_inverse=True)
    fold = place % min(FOLDS, len(names))
    if len(names) < 2:
        return None
    shares, kept = np.zeros(logits.shape), np.zeros(len(logits), bool)
    for number in np.unique(fold):
        held = fold == number
        fitted = fit(logits[~held], targets[~held], multi_label)
        shares[held] = probabilities(logits[held], fitted.temperature, multi_label)
        kept[held] = shares[held].max(1) >= fitted.least(shares[held].argmax(1))
    right = targets[np.arange(len(logits)), shares.argmax(1)]
    before, after = (calibration_error(scores, targets, multi_label) for scores in (logits, np.log(shares + 1e-300)))
    return CrossFitted(
        before, after, float(kept.mean()), float(right[kept].mean()) if kept.any() else None, float(right.mean())
    )


def calibration_error(logits: np.ndarray, targets: np.ndarray, multi_label: bool) -> float | None:
    """The expected calibration error of (N, C) logits; None with several labels per clip. targets: (N, C) bool."""
    return None if multi_label else expected_calibration_error(reliability(logits, targets.argmax(1)))


def _best_threshold(shares: np.ndarray, right: np.ndarray, num_positive: int) -> float:
    """The threshold with the highest F1 of the clips that reach it; of equal ones the lowest, 0 if all may pass.

    shares, right: (n,) of clips with this best class. num_positive: clips that have this class.
    """
    order = np.argsort(-shares, kind="stable")
    hits = np.cumsum(right[order])
    scores = 2 * hits / (np.arange(1, len(order) + 1) + max(num_positive, 1))
    count = len(order) - int(np.argmax(scores[::-1]))  # clips that pass
    if count == len(order):
        return 0.0
    return float(shares[order[count - 1 : count + 1]].mean())
