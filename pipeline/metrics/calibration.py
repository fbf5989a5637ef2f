"""Whether a model is as often right as it says: reliability bins and the expected calibration error.

Pure numpy; knows no model and no files.
"""

import numpy as np

from embedonce.pipeline.metrics.accuracy import log_softmax

NUM_BINS = 15


def reliability(logits: np.ndarray, labels: np.ndarray) -> list[dict]:
    """{"confidence", "accuracy", "clips"} of each bin that is not empty, by rising confidence.

    Of (N, C) logits and (N,) labels, -1 for unlabeled: left out. Confidence is the largest probability of the
    softmax at temperature 1; 15 bins of equal width, each with its upper edge (Guo et al., On Calibration of Modern
    Neural Networks, ICML 2017).
    """
    labeled = labels >= 0
    if logits.shape[1] == 0 or not labeled.any():
        return []
    confidence = np.exp(log_softmax(logits[labeled]).max(1))
    right = logits[labeled].argmax(1) == labels[labeled]
    place = np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], confidence)
    members = [place == number for number in np.unique(place)]
    return [
        {"confidence": float(confidence[m].mean()), "accuracy": float(right[m].mean()), "clips": int(m.sum())}
        for m in members
    ]


def expected_calibration_error(bins: list[dict]) -> float | None:
    """Mean over clips of the distance between confidence and accuracy of their bin (Guo et al. 2017); 0 is perfect."""
    clips = sum(found["clips"] for found in bins)
    if not clips:
        return None
    return float(sum(found["clips"] * abs(found["confidence"] - found["accuracy"]) for found in bins) / clips)
