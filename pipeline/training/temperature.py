"""The temperature that is stored with the best student, fitted to its predictions for the selection clips."""

import numpy as np

from embedonce.models.losses.registry import uses
from embedonce.models.losses.term import LossSettings, Need
from embedonce.pipeline.checkpoints.selection_calibration import SelectionCalibration
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics.fitted_calibration import MIN_LABELED, fit_temperature, negative_log_likelihood

CLEAR_GAIN = 3.84  # the 95 % quantile of chi-squared with one degree of freedom: below it, 1 fits as well


def selection_calibration(predictions: Predictions | None, settings: LossSettings) -> SelectionCalibration:
    """The calibration of the student that made these predictions. predictions: None without selection clips."""
    if predictions is None:
        return SelectionCalibration(None, 0, "there are no selection clips")
    labeled = predictions.labeled
    count = int(labeled.sum())
    reason = _reason_against(predictions, count, uses(settings, Need.LABELS))
    if reason is not None:
        return SelectionCalibration(None, count, reason)
    is_multi_label = predictions.multi_hot is not None
    logits, targets = predictions.logits[labeled], predictions.targets[labeled]
    temperature = fit_temperature(logits, targets, is_multi_label)
    if _gain(logits, targets, temperature, is_multi_label) < CLEAR_GAIN:
        reason = f"the best one does not clearly lower the loss of {count} selection clips"
        return SelectionCalibration(None, count, reason)
    return SelectionCalibration(temperature, count)


def _gain(logits: np.ndarray, targets: np.ndarray, temperature: float, is_multi_label: bool) -> float:
    """Twice the gain in log-likelihood over all clips, which a likelihood-ratio test compares with CLEAR_GAIN."""
    before, after = (negative_log_likelihood(logits, targets, value, is_multi_label) for value in (1.0, temperature))
    return 2 * (logits.size if is_multi_label else len(logits)) * (before - after)


def _reason_against(predictions: Predictions, num_labeled: int, trains_on_labels: bool) -> str | None:
    """Why no temperature can be fitted; None if one can."""
    num_classes = predictions.logits.shape[1]
    if num_classes < 2:  # the softmax of a single logit is always 1
        return "the student has a single class" if num_classes else "the student has no classes"
    if not trains_on_labels:
        return "no loss term trains on labels"
    return f"{num_labeled} selection clips have labels, fewer than {MIN_LABELED}" if num_labeled < MIN_LABELED else None
