"""Fitted temperatures and thresholds, on data whose right answer is known."""

import numpy as np
import pytest

from embedonce.pipeline.metrics.fitted_calibration import (
    MIN_CLIPS,
    TEMPERATURES,
    Fit,
    cross_fitted,
    fit,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
)


def drawn(count: int, num_classes: int, scale: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn from the softmax of logits / scale, as (N, C) bool."""
    generator = np.random.default_rng(seed)
    logits = scale * 2 * generator.standard_normal((count, num_classes))
    shares = probabilities(logits, scale, False)
    labels = (generator.random(count)[:, None] > shares.cumsum(1)).sum(1).clip(max=num_classes - 1)
    return logits, labels[:, None] == np.arange(num_classes)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_one_that_labels_were_drawn_with(scale):
    logits, targets = drawn(4000, 5, scale, 0)
    assert fit(logits, targets, False).temperature == pytest.approx(scale, rel=0.06)


def test_the_temperature_of_several_labels_is_that_of_sigmoids():
    generator = np.random.default_rng(0)
    logits = 4 * generator.standard_normal((4000, 3))
    targets = generator.random(logits.shape) < probabilities(logits, 2.0, True)
    assert fit(logits, targets, True).temperature == pytest.approx(2.0, rel=0.06)
    np.testing.assert_allclose(probabilities(np.array([[0.0, 2.0]]), 2.0, True), [[0.5, 1 / (1 + np.exp(-1))]])


@pytest.mark.parametrize("multi_label", [False, True])
def test_no_other_temperature_has_a_lower_loss(multi_label):
    logits, targets = drawn(2000, 4, 2.0, 3)
    found = fit_temperature(logits, targets, multi_label)
    here, *others = (negative_log_likelihood(logits, targets, found * f, multi_label) for f in (1, 0.5, 0.9, 1.1, 2))
    assert all(here < other for other in others)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("count", [20, 200])
def test_clips_that_are_all_right_leave_a_doubt_of_one_clip(count, multi_label):
    targets = np.arange(count)[:, None] % 2 == np.arange(2)
    logits = np.where(targets, 3.0, -3.0)
    temperature = fit_temperature(logits, targets, multi_label)
    doubt = 1 - probabilities(logits, temperature, multi_label)[targets].mean()
    assert doubt == pytest.approx(0.5 / (count + 1), rel=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e30])
@pytest.mark.parametrize("is_right", [True, False])
def test_temperatures_are_bounded_whatever_the_logits(size, is_right, multi_label):
    targets = np.arange(30)[:, None] % 3 == np.arange(3)
    logits = np.where(targets == is_right, np.float32(size), np.float32(0))
    found = fit_temperature(logits, targets, multi_label)
    assert TEMPERATURES[0] <= found <= TEMPERATURES[1]
    assert np.isfinite(negative_log_likelihood(logits, targets, found, multi_label))


def test_the_likelihood_by_hand():
    logits, targets = np.log([[1.0, 9.0], [4.0, 4.0]]), np.array([[False, True], [True, False]])
    assert negative_log_likelihood(logits, targets, 2.0, False) == pytest.approx(-np.log([0.75, 0.5]).mean())
    shares = np.array([[1 / 2, 3 / 4], [2 / 3, 1 / 3]])  # of the classes that a clip has, or has not
    assert negative_log_likelihood(logits, targets, 2.0, True) == pytest.approx(-np.log(shares).mean())


def test_a_threshold_lies_where_the_f1_score_of_its_class_is_highest():
    """Class 0 is right above a margin of 2 and wrong below; class 1 is always right; class 2 is never predicted."""
    margins = np.array([3.0, 2.8, 2.6, 2.4, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4])
    first = np.stack([margins, 0 * margins, 0 * margins - 9], 1)
    second = np.stack([0 * margins, margins, 0 * margins - 9], 1)
    labels = np.concatenate([np.where(margins > 2, 0, 2), np.ones(10, int)])
    found = fit(np.concatenate([first, second]), labels[:, None] == np.arange(3), False)
    edges = probabilities(np.array([[2.4, 0, -9], [1.9, 0, -9]]), found.temperature, False)[:, 0]
    assert found.thresholds[0] == pytest.approx(edges.mean())
    assert found.thresholds[1] == 0 and np.isnan(found.thresholds[2])


def test_classes_with_few_clips_have_the_threshold_of_all_clips():
    logits, targets = drawn(200, 3, 1.0, 1)
    rare = np.concatenate([logits - [0, 0, 99], np.array([[0.0, 0, 9]] * (MIN_CLIPS - 1))])
    found = fit(rare, np.concatenate([targets, np.array([[False, False, True]] * (MIN_CLIPS - 1))]), False)
    assert np.isnan(found.thresholds[2]) and not np.isnan(found.thresholds[:2]).any()
    least = Fit(1.0, np.array([0.3, np.nan]), 0.6).least(np.array([1, 0, 1]))
    np.testing.assert_array_equal(least, [0.6, 0.3, 0.6])


def test_cross_fitting_measures_on_recordings_that_were_not_fitted_to():
    """Labels of each recording are random: fitted to itself, a threshold would look better than chance."""
    generator = np.random.default_rng(2)
    logits = 3 * generator.standard_normal((600, 2))
    targets = np.eye(2, dtype=bool)[generator.integers(0, 2, 600)]
    figures = cross_fitted(logits, targets, np.repeat(np.arange(60), 10), False)
    assert figures.accuracy == pytest.approx(0.5, abs=0.06)
    assert figures.calibration_error < 0.1 < figures.calibration_error_before  # certain and wrong before
    assert cross_fitted(logits, targets, np.zeros(600), False) is None


def test_a_recording_is_never_on_both_sides():
    """One recording alone is predicted as class 1: half of it surely and right, half of it hardly and wrong.

    With it, class 1 has a threshold that leaves out the wrong half; without it, nothing speaks against them.
    """
    logits = np.tile([[3.0, 0.0]], (60, 1))
    targets = np.tile([[True, False]], (60, 1))
    logits[:6], targets[:6] = [0.0, 4.0], [False, True]
    logits[6:12] = [0.0, 1.0]
    fitted = fit(logits, targets, False)
    shares = probabilities(logits, fitted.temperature, False)
    assert (shares.max(1) >= fitted.least(shares.argmax(1)))[:12].tolist() == [True] * 6 + [False] * 6
    figures = cross_fitted(logits, targets, np.repeat(np.arange(5), 12), False)
    assert figures.kept == 1.0 and figures.precision == figures.accuracy == pytest.approx(54 / 60)
