"""Fits a temperature and thresholds to the evaluated clips, for predict.

The figures of an evaluation are those of the student without them. What they are worth is measured on clips that they
were not fitted to: fitted to four fifths of the recordings and applied to the rest, in turns.
"""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics.calibration_file import Calibration
from embedonce.pipeline.metrics.fitted_calibration import CrossFitted, cross_fitted, fit
from embedonce.pipeline.naming.uids import recording_of

log = logging.getLogger(__name__)

MIN_LABELED = 20  # clips, below which nothing is fitted


def calibrate(
    predictions: Predictions,
    clips: Sequence[ClipLabel],
    labels: LabelSet,
    known: Sequence[str],
    split: str,
    sha256: str,
) -> Calibration | None:
    """The calibration of a checkpoint, fitted to its predictions; None, with a remark in the log, if it cannot be.

    known: classes of the student. sha256: of the checkpoint file.
    """
    labeled = predictions.labeled
    reason = _reason_against(int(labeled.sum()), list(known) == list(labels.classes), split)
    if reason:
        log.info("no calibration for predict: %s", reason)
        return None
    logits, targets = predictions.logits[labeled], _targets(predictions)[labeled]
    groups = np.array([recording_of(clip.video_uid) for clip, used in zip(clips, labeled, strict=True) if used])
    fitted, held_out = (
        fit(logits, targets, labels.multi_label),
        cross_fitted(logits, targets, groups, labels.multi_label),
    )
    log.info("calibration for predict: temperature %.2f%s", fitted.temperature, _in_words(held_out))
    own = {name: float(value) for name, value in zip(known, fitted.thresholds, strict=True) if not np.isnan(value)}
    return Calibration(
        checkpoint_sha256=sha256,
        label_set=labels.name,
        split=split,
        num_clips=len(logits),
        multi_label=labels.multi_label,
        temperature=fitted.temperature,
        thresholds=own,
        default_threshold=fitted.default_threshold,
        cross_fitted=None if held_out is None else dataclasses.asdict(held_out),
    )


def _reason_against(num_labeled: int, has_all_classes: bool, split: str) -> str | None:
    """Why nothing can be fitted to these clips; None if it can."""
    if split == "train":
        return "the student was trained on these clips"
    if not has_all_classes:
        return "the label set has other classes than the student"
    return f"{num_labeled} clips have labels, fewer than {MIN_LABELED}" if num_labeled < MIN_LABELED else None


def _targets(predictions: Predictions) -> np.ndarray:
    """(N, C) bool: the classes of each clip."""
    if predictions.multi_hot is not None:
        return predictions.multi_hot
    return predictions.labels[:, None] == np.arange(predictions.logits.shape[1])


def _in_words(figures: CrossFitted | None) -> str:
    if figures is None:
        return ""
    before, after = figures.calibration_error_before, figures.calibration_error
    error = "" if before is None or after is None else f"calibration error {before:.3f} -> {after:.3f}, "
    right = "" if figures.precision is None else f", of which {figures.precision:.1%} are right"
    return (
        f"; on clips it was not fitted to: {error}{figures.kept:.1%} reach their threshold{right} "
        f"(of all clips: {figures.accuracy:.1%})"
    )
