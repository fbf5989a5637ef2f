"""From logits of a window to the classes of a prediction: temperature, smoothing over windows, thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from embedonce.pipeline.metrics.fitted_calibration import probabilities
from embedonce.pipeline.predict.prediction import ClassProbability


@dataclass(frozen=True)
class ScoreSettings:
    """How scores are made of logits.

    multi_label: probabilities are sigmoids, not a softmax. temperature: logits are divided by it. thresholds: least
    probability by class; default_threshold: of classes without one. smoothing: weight of the previous windows in the
    exponential moving average of probabilities, 0: none. top: classes to list.
    """

    multi_label: bool = False
    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    default_threshold: float = 0.0
    smoothing: float = 0.0
    top: int = 3


@dataclass(frozen=True)
class Scores:
    """label, probability, top and reason as in Prediction."""

    label: str | None
    probability: float
    top: tuple[ClassProbability, ...]
    reason: str | None


class Scorer:
    """Scores the windows of one source, in order."""

    def __init__(self, classes: Sequence[str], settings: ScoreSettings):
        self._classes, self._settings = classes, settings
        self._average: np.ndarray | None = None

    def __call__(self, logits: np.ndarray) -> Scores:
        """logits: (C,), C > 0."""
        settings = self._settings
        shares = self._smoothed(probabilities(logits[None], settings.temperature, settings.multi_label)[0])
        order = np.argsort(-shares, kind="stable")[: settings.top]
        top = tuple(ClassProbability(self._classes[i], float(shares[i])) for i in order)
        best, share = top[0]
        threshold = settings.thresholds.get(best, settings.default_threshold)
        if share >= threshold:
            return Scores(best, share, top, None)
        return Scores(None, share, top, f"below the threshold {threshold:.3f} of {best}")

    def skip(self) -> None:
        """A window without a prediction: smoothing begins anew."""
        self._average = None

    def _smoothed(self, shares: np.ndarray) -> np.ndarray:
        weight = self._settings.smoothing if self._average is not None else 0.0
        before = shares if self._average is None else self._average
        self._average = weight * before + (1 - weight) * shares
        return self._average
