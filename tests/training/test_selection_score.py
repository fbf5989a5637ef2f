"""Which score on the selection clips decides which epoch is the best."""

import math

import numpy as np
import pytest

from embedonce.cache.labels import ClipLabel
from embedonce.models.losses.registry import loss_settings
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.training.selection_score import (
    COSINE,
    LOSS,
    MEAN_CLASS,
    TOP1,
    SelectionRule,
    selection_rule,
    selection_score,
)

WITH_TASK, WITHOUT = loss_settings(), loss_settings(gamma=0.0)


def clips_of(labels: np.ndarray) -> ClipDataset:
    """What the rule reads of a dataset."""
    clips = [ClipLabel("", "", 0.0, 1.0, int(label), "train") for label in labels]
    dataset = ClipDataset.__new__(ClipDataset)
    dataset.clips = clips
    return dataset


def counted(*counts: int) -> np.ndarray:
    """Labels of so many clips of classes 0, 1, …"""
    return np.repeat(np.arange(len(counts)), counts)


@pytest.mark.parametrize(
    ("labels", "settings", "score"),
    [
        (counted(5, 5, 5), WITH_TASK, TOP1),
        (counted(10, 5, 5), WITH_TASK, TOP1),  # exactly twice the mean of the others
        (counted(11, 5, 5), WITH_TASK, MEAN_CLASS),
        (counted(11, 5), WITH_TASK, MEAN_CLASS),  # of two classes, neither has more than twice the mean of both
        (counted(11, 0, 5, 5), WITH_TASK, MEAN_CLASS),  # a class without selection clips does not count
        (counted(10, 0, 5, 5), WITH_TASK, TOP1),
        (counted(7), WITH_TASK, TOP1),
        (counted(11, 5, 5), WITHOUT, COSINE),
        (np.full(4, -1), WITH_TASK, COSINE),
        (np.concatenate([counted(5, 5), np.full(40, -1)]), WITH_TASK, TOP1),  # unlabeled clips are no class
        (np.zeros(0, np.int64), WITH_TASK, LOSS),
        (np.zeros(0, np.int64), WITHOUT, LOSS),
    ],
)
def test_the_score_depends_on_labels_and_terms(labels, settings, score):
    assert selection_rule(clips_of(labels), settings).score == score


def test_the_rule_says_why():
    assert str(selection_rule(clips_of(counted(11, 5, 5)), WITH_TASK)) == (
        "the best epoch is chosen by mean class accuracy: classes are unbalanced (the largest class has 11 selection "
        "clips, the others 5 on average)"
    )
    assert str(selection_rule(clips_of(counted(4, 4)), WITHOUT)) == (
        "the best epoch is chosen by cosine: no loss term trains on labels"
    )


def found(labels: np.ndarray, predicted: np.ndarray, cosine: float) -> Predictions:
    """Predictions of these classes with this cosine to the teacher."""
    count = len(labels)
    embeddings = np.tile(np.array([cosine, math.sqrt(1 - cosine**2)], np.float32), (count, 1))
    return Predictions(
        np.eye(3)[predicted], embeddings, np.zeros((count, 3)), np.array([[1.0, 0.0]] * count, np.float32), labels
    )


def test_accuracy_comes_first_and_cosine_decides_between_equals():
    labels = counted(8, 1, 1)
    largest_only = found(labels, np.zeros(10, int), 0.9)  # top-1 0.8, mean class 1/3
    fair = found(labels, np.array([0] * 5 + [1] * 4 + [2]), 0.1)  # top-1 0.7, mean class (5/8 + 1 + 1) / 3
    assert selection_score(largest_only, SelectionRule(TOP1, "")) == pytest.approx((0.8, 0.9))
    assert selection_score(fair, SelectionRule(TOP1, "")) == pytest.approx((0.7, 0.1))
    assert selection_score(largest_only, SelectionRule(MEAN_CLASS, "")) == pytest.approx((1 / 3, 0.9))
    assert selection_score(fair, SelectionRule(MEAN_CLASS, "")) == pytest.approx((0.875, 0.1))
    assert selection_score(fair, SelectionRule(COSINE, "")) == pytest.approx((0.0, 0.1))
