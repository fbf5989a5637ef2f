"""The temperature of a student: fitted to the selection clips at its best epoch, or a reason why not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.models.losses.registry import loss_settings
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.selection_calibration import SelectionCalibration
from embedonce.pipeline.clips.inference import Predictions, predict
from embedonce.pipeline.metrics.fitted_calibration import fit_temperature
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.temperature import selection_calibration
from tests.support import small_students
from tests.support.small_students import settings
from tests.support.tiny_cache import make_tiny_cache

LABELED = loss_settings(gamma=1.0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("cache") / "cache", 20)


def made(num_clips: int = 40, num_classes: int = 3, num_labeled: int | None = None) -> Predictions:
    generator = np.random.default_rng(0)
    logits, labels = generator.standard_normal((num_clips, num_classes)), generator.integers(0, 3, num_clips)
    labels[num_clips if num_labeled is None else num_labeled :] = -1
    vectors = np.ones((num_clips, 2), np.float32)
    return Predictions(logits, vectors, logits, vectors, labels)


@pytest.mark.integration
def test_a_student_has_the_temperature_of_its_best_epoch(cache, tmp_path, monkeypatch):
    """The second of three epochs is the best one, by a rule that says so; the cache is small, and so is the least."""
    monkeypatch.setattr("embedonce.pipeline.training.temperature.MIN_LABELED", 3)
    monkeypatch.setattr("embedonce.pipeline.training.temperature.CLEAR_GAIN", -np.inf)
    scores = iter([(0.1, 0.0), (0.9, 0.0), (0.5, 0.0)])
    monkeypatch.setattr("embedonce.pipeline.training.epoch_loop.selection_score", lambda *_: next(scores))
    config = settings(cache, tmp_path, epochs=3, lr=0.01, ema=0.5)
    result = training.train(config)
    student, meta = checkpoint.load_student(tmp_path / "best_student.pt")
    reader = open_reader(cache)
    _, selection = datasets(config, reader, reader.label_set())
    found = predict(student, selection, 4, 0, torch.device("cpu"))
    assert meta.epoch == 2 and meta.calibration.num_clips == len(selection) >= 3
    assert meta.temperature == pytest.approx(fit_temperature(found.logits, found.targets, False), rel=1e-3)
    assert f"calibration: temperature {meta.temperature:.2f}, fitted to {len(selection)} sel" in result.summary


@pytest.mark.integration
def test_without_labels_in_the_loss_there_is_none_and_the_summary_says_why(cache, tmp_path):
    result = training.train(settings(cache, tmp_path, epochs=1, gamma=0.0))
    assert checkpoint.load(tmp_path / "best_student.pt").temperature == 1.0
    assert "calibration: no temperature is used: no loss term trains on labels" in result.summary


def test_only_labeled_clips_count():
    found = made(40, num_labeled=25)
    expected = fit_temperature(found.logits[:25], found.targets[:25], False)
    assert selection_calibration(found, LABELED) == SelectionCalibration(expected, 25)
    assert selection_calibration(made(40, num_labeled=20), LABELED).temperature is not None


def test_clips_with_several_labels_have_sigmoids():
    found = made(40)
    several = found.targets | np.roll(found.targets, 1, axis=1)
    several[30:] = False
    found = replace(found, labels=np.full(40, -1), multi_hot=several)
    expected = fit_temperature(found.logits[:30], several[:30], True)
    assert selection_calibration(found, LABELED) == SelectionCalibration(expected, 30)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize(("factor", "is_stored"), [(1.0, False), (4.0, True), (0.25, True)])
def test_a_temperature_that_does_not_clearly_help_is_not_stored(multi_label, factor, is_stored):
    """Labels that follow from the logits: these are calibrated as they are, and no longer if they are multiplied."""
    generator = np.random.default_rng(1)
    logits = 3 * generator.standard_normal((36, 6))
    if multi_label:
        drawn = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))
        found = replace(made(36), logits=factor * logits, labels=np.full(36, -1), multi_hot=drawn)
    else:
        found = replace(made(36), logits=factor * logits, labels=(logits + generator.gumbel(size=(36, 6))).argmax(1))
    calibration = selection_calibration(found, LABELED)
    assert (calibration.temperature is not None) == is_stored
    assert is_stored or str(calibration.reason).startswith("the best one does not clearly lower")


def test_a_student_that_is_right_and_sure_is_not_made_less_so():
    """Smoothed targets alone would divide its logits by more than 1, and raise the loss of the very same clips."""
    labels = np.arange(36) % 6
    found = replace(made(36), logits=9.0 * np.eye(6)[labels], labels=labels)
    assert fit_temperature(found.logits, found.targets, False) > 1
    assert selection_calibration(found, LABELED).temperature is None


@pytest.mark.parametrize(
    ("predictions", "loss", "count", "reason"),
    [
        (None, LABELED, 0, "there are no selection clips"),
        (made(num_classes=0), LABELED, 40, "the student has no classes"),
        (made(num_classes=1), LABELED, 40, "the student has a single class"),
        (made(), loss_settings(gamma=0.0), 40, "no loss term trains on labels"),
        (made(num_labeled=19), LABELED, 19, "19 selection clips have labels, fewer than 20"),
        (made(num_labeled=0), LABELED, 0, "0 selection clips have labels, fewer than 20"),
    ],
)
def test_there_is_a_reason_where_there_is_no_temperature(predictions, loss, count, reason):
    assert selection_calibration(predictions, loss) == SelectionCalibration(None, count, reason)
