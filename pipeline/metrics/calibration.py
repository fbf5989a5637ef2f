"""Calibration: reliability bins and the expected calibration error. Pure numpy."""

import numpy as np

from embedonce.pipeline.metrics.accuracy import log_softmax
from embedonce.pipeline.metrics.results_schema import ReliabilityBin

NUM_BINS = 15


def reliability(logits: np.ndarray, labels: np.ndarray) -> list[ReliabilityBin]:
    """The non-empty bins by rising confidence, of (N, C) logits and (N,) labels; -1 is unlabeled and left out.

    Confidence is the largest softmax probability at temperature 1; there are 15 bins of equal width, each including
    its upper edge (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).
    """
    labeled = labels >= 0
    if logits.shape[1] == 0 or not labeled.any():
        return []
    confidence = np.exp(log_softmax(logits[labeled]).max(1))
    right = logits[labeled].argmax(1) == labels[labeled]
    place = np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], confidence)
    members = [place == number for number in np.unique(place)]
    return [ReliabilityBin(float(confidence[m].mean()), float(right[m].mean()), int(m.sum())) for m in members]


def expected_calibration_error(bins: list[ReliabilityBin]) -> float | None:
    """Mean over clips of the gap between confidence and accuracy of their bin (Guo et al. 2017); 0 is perfect."""
    clips = sum(entry.clips for entry in bins)
    if not clips:
        return None
    return float(sum(entry.clips * abs(entry.confidence - entry.accuracy) for entry in bins) / clips)
