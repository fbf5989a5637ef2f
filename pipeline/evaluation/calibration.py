"""Measures the temperature of a checkpoint on the evaluated clips, and fits temperature and thresholds for predict.

All other figures of an evaluation are those of the student without them. What is fitted here is measured on clips that
it was not fitted to: fitted to four fifths of the recordings and applied to the rest, in turns.
"""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics.calibration_file import Calibration
from embedonce.pipeline.metrics.fitted_calibration import (
    MIN_LABELED,
    CrossFitted,
    calibration_error,
    cross_fitted,
    fit,
    negative_log_likelihood,
)
from embedonce.pipeline.metrics.results_schema import Calibrated
from embedonce.pipeline.naming.uids import recording_of

log = logging.getLogger(__name__)

OTHER_CLASSES = "the label set has other classes than the student"


def calibrated(predictions: Predictions, labels: LabelSet, meta: Checkpoint, split: str) -> Calibrated:
    """The figures of the temperature that training stored in this checkpoint, on the evaluated clips with labels."""
    stored, labeled = meta.calibration, predictions.labeled
    temperature, count = (None, None) if stored is None else (stored.temperature, stored.num_clips)
    if temperature is None:
        reason = stored.reason if stored else "the checkpoint was trained by an earlier version, which fitted none"
    else:
        reason = _reason_against_measuring(meta, labels, split, bool(labeled.any()))
    if temperature is None or reason is not None:
        return Calibrated(temperature, count, None, None, None, None, reason)
    logits, targets = predictions.logits[labeled], predictions.targets[labeled]
    return Calibrated(
        temperature=temperature,
        num_selection_clips=count,
        calibration_error_before=calibration_error(logits, targets, labels.multi_label),
        calibration_error=calibration_error(logits / temperature, targets, labels.multi_label),
        negative_log_likelihood_before=negative_log_likelihood(logits, targets, 1.0, labels.multi_label),
        negative_log_likelihood=negative_log_likelihood(logits, targets, temperature, labels.multi_label),
        reason=None,
    )


def _reason_against_measuring(meta: Checkpoint, labels: LabelSet, split: str, has_labels: bool) -> str | None:
    """Why the temperature of a checkpoint cannot be measured on these clips; None if it can."""
    if split == "train":
        return "training clips, and clips that it was fitted to, are in this split"
    if meta.classes != list(labels.classes):
        return OTHER_CLASSES
    if bool(meta.multi_label) != labels.multi_label:
        return "only one of the student and the label set has several labels per clip"
    return None if has_labels else "no clip has a label"


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
    logits, targets = predictions.logits[labeled], predictions.targets[labeled]
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
        return OTHER_CLASSES
    return f"{num_labeled} clips have labels, fewer than {MIN_LABELED}" if num_labeled < MIN_LABELED else None


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
