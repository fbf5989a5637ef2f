"""Scores: a softmax or sigmoids, and smoothing that begins anew after a window without a prediction."""

import numpy as np
import pytest

from embedonce.pipeline.predict.scoring import Scorer, ScoreSettings

LOGITS = np.log(np.array([0.2, 0.7, 0.1]))


def test_several_labels_per_clip_have_sigmoids():
    scores = Scorer(("a", "b", "c"), ScoreSettings(multi_label=True))(np.array([0.0, 2.0, -2.0]))
    expected = {"b": 1 / (1 + np.exp(-2)), "a": 0.5, "c": 1 / (1 + np.exp(2))}
    assert dict(scores.top) == pytest.approx(expected) and list(dict(scores.top)) == ["b", "a", "c"]


def test_each_class_has_its_threshold_and_others_the_default():
    def label(**thresholds):
        return Scorer(("a", "b", "c"), ScoreSettings(**thresholds))(LOGITS).label

    assert label(thresholds={"b": 0.7 - 1e-9}) == "b" and label(thresholds={"b": 0.71}) is None
    assert label(thresholds={"a": 0.9}, default_threshold=0.6) == "b"
    assert label(thresholds={"a": 0.1}, default_threshold=0.8) is None


def test_smoothing_begins_anew_after_a_window_without_a_prediction():
    scorer = Scorer(("a", "b", "c"), ScoreSettings(smoothing=0.9))
    scorer(np.array([9.0, 0, 0]))
    assert scorer(LOGITS).label == "a"
    scorer.skip()
    assert scorer(LOGITS).label == "b" and scorer(LOGITS).probability == pytest.approx(0.7)
