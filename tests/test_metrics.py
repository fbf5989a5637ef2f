"""Metrics against hand-worked cases and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline import metrics
from pipeline.latency import measure_interleaved


@pytest.fixture
def case():
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((500, 12)).astype(np.float32)
    labels = np.where(generator.random(500) < 0.5, logits.argmax(1), generator.integers(0, 12, 500))
    return logits, labels


def test_accuracies_agree_with_scikit_learn(case):
    logits, labels = case
    assert metrics.top_k_accuracy(logits, labels, 1) == pytest.approx(
        reference.accuracy_score(labels, logits.argmax(1))
    )
    for k in (1, 5):
        expected = reference.top_k_accuracy_score(labels, logits, k=k, labels=range(12))
        assert metrics.top_k_accuracy(logits, labels, k) == pytest.approx(expected)
    expected = reference.balanced_accuracy_score(labels, logits.argmax(1))
    assert metrics.mean_class_accuracy(logits, labels) == pytest.approx(expected)


def test_by_hand():
    logits = np.array([[3.0, 2, 1], [1, 2, 3], [3, 2, 1], [1, 3, 2], [0, 0, 0]])
    labels = np.array([0, 1, 1, 1, -1])  # right, second, second, right, unlabelled
    assert metrics.top_k_accuracy(logits, labels, 1) == 0.5
    assert metrics.top_k_accuracy(logits, labels, 2) == 1.0
    assert metrics.mean_class_accuracy(logits, labels) == pytest.approx((1 + 1 / 3) / 2)
    assert metrics.class_accuracies(logits, labels)[1] == {"clips": 3, "top1": pytest.approx(1 / 3)}
    assert metrics.top_k(np.array([[1.0, 1.0, 0.0]]), 1).tolist() == [[0]]


def test_agreement_is_with_the_teachers_first_class():
    student = np.array([[3.0, 2, 1], [3, 2, 1], [1, 2, 3]])
    teacher = np.array([[9.0, 0, 0], [0, 9, 0], [9, 0, 0]])
    assert metrics.agreement(student, teacher) == pytest.approx(1 / 3)
    assert metrics.agreement(student, teacher, 2) == pytest.approx(2 / 3)


def test_what_cannot_be_measured_is_none():
    assert metrics.top_k_accuracy(np.zeros((3, 4)), np.full(3, -1), 1) is None
    assert metrics.top_k_accuracy(np.zeros((3, 0)), np.zeros(3, int), 1) is None
    assert metrics.mean_class_accuracy(np.zeros((3, 0)), np.zeros(3, int)) is None
    assert metrics.agreement(np.zeros((3, 0)), np.zeros((3, 0))) is None


def test_clip_targets_are_means_over_the_frames_that_are_there():
    frames = np.array([[[1.0, 0], [0, 1], [50, 50]], [[0, 2], [0, 0], [0, 0]]])
    mask = np.array([[True, True, False], [True, False, False]])
    np.testing.assert_allclose(metrics.clip_logits(frames, mask), [[0.5, 0.5], [0, 2]])
    np.testing.assert_allclose(metrics.clip_embeddings(frames, mask), [[0.5**0.5, 0.5**0.5], [0, 1]])


def test_mean_cosine():
    a, b = np.array([[1.0, 0], [3, 4]]), np.array([[0.0, 2], [3, 4]])
    assert metrics.mean_cosine(a, b) == pytest.approx(0.5)


def test_timing_is_interleaved_and_leaves_the_warm_up_out():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = measure_interleaved(calls, rounds=6, warmup=2)
    assert order == list("ab") * 8 and set(times["a"]) == {"p50_ms", "p95_ms"}
    assert 0 <= times["a"]["p50_ms"] <= times["a"]["p95_ms"]
