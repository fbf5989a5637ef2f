"""Metrics against hand-worked cases and against scikit-learn."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from embedonce.pipeline.metrics import accuracy as metrics
from embedonce.pipeline.metrics.bootstrap_intervals import (
    class_mean_interval,
    mean_interval,
    paired_difference,
    share_limits,
    t_quantile,
)
from embedonce.pipeline.metrics.calibration import expected_calibration_error, reliability
from embedonce.pipeline.processes.timing import measure_interleaved


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
    labels = np.array([0, 1, 1, 1, -1])  # right, second, second, right, unlabeled
    assert metrics.top_k_accuracy(logits, labels, 1) == 0.5
    assert metrics.top_k_accuracy(logits, labels, 2) == 1.0
    assert metrics.mean_class_accuracy(logits, labels) == pytest.approx((1 + 1 / 3) / 2)
    assert metrics.class_accuracies(logits, labels)[1] == (3, pytest.approx(1 / 3))
    assert metrics.top_k(np.array([[1.0, 1.0, 0.0]]), 1).tolist() == [[0]]


def test_classes_that_do_not_occur_have_no_accuracy():
    assert metrics.class_accuracies(np.eye(3)[[0, 1]], np.array([0, 0])) == {0: (2, 0.5)}


def test_agreement_is_with_the_teachers_top1_class():
    student = np.array([[3.0, 2, 1], [3, 2, 1], [1, 2, 3]])
    teacher = np.array([[9.0, 0, 0], [0, 9, 0], [9, 0, 0]])
    assert metrics.agreement(student, teacher) == pytest.approx(1 / 3)
    assert metrics.agreement(student, teacher, 2) == pytest.approx(2 / 3)


def test_undefined_metrics_are_none():
    assert metrics.top_k_accuracy(np.zeros((3, 4)), np.full(3, -1), 1) is None
    assert metrics.top_k_accuracy(np.zeros((3, 0)), np.zeros(3, int), 1) is None
    assert metrics.mean_class_accuracy(np.zeros((3, 0)), np.zeros(3, int)) is None
    assert metrics.agreement(np.zeros((3, 0)), np.zeros((3, 0))) is None
    assert metrics.kl_divergence(np.zeros((3, 0)), np.zeros((3, 4))) is None
    assert metrics.confusion_counts(np.zeros((3, 4)), np.full(3, -1)) == []
    assert reliability(np.zeros((3, 4)), np.full(3, -1)) == reliability(np.zeros((3, 0)), np.zeros(3, int)) == []
    assert expected_calibration_error([]) is None
    assert mean_interval(np.ones(3), ["a", "a", "a"]) is mean_interval(np.zeros(0), []) is None


def test_confusion_agrees_with_scikit_learn(case):
    logits, labels = case
    labels = np.where(np.arange(500) % 7 == 0, -1, labels)
    matrix = np.zeros((12, 12), int)
    for true, predicted, clips in metrics.confusion_counts(logits, labels):
        matrix[true, predicted] = clips
    known = labels >= 0
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(labels[known], logits[known].argmax(1)))


def test_divergence_from_the_teacher_agrees_with_scipy(case):
    teacher, student = case[0], case[0][::-1] * 3
    shares = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (teacher.astype(float), student.astype(float))]
    assert metrics.kl_divergence(teacher, student) == pytest.approx(stats.entropy(*shares, axis=1).mean())
    assert metrics.kl_divergence(teacher, teacher + 5) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(metrics.kl_divergence(np.array([[0.0, 2000]]), np.array([[0.0, 500]])))


def test_zero_shot_is_the_nearest_class_text():
    text = np.eye(3, 4, dtype=np.float32)
    embeddings = np.array([[0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0], [0, 0.6, 0.8, 0], [1, 0, 0, 0]], np.float32)
    assert metrics.zero_shot_accuracy(embeddings, text, np.array([0, 1, 1, -1])) == pytest.approx(2 / 3)


def test_reliability_agrees_with_scikit_learn(case):
    logits, labels = case
    bins = reliability(logits, labels)
    confidence = np.exp(metrics.log_softmax(logits)).max(1)
    accuracy, mean_confidence = calibration_curve(logits.argmax(1) == labels, confidence, n_bins=15)
    np.testing.assert_allclose([found.accuracy for found in bins], accuracy)
    np.testing.assert_allclose([found.confidence for found in bins], mean_confidence)
    assert sum(found.clips for found in bins) == 500


def test_calibration_error_by_hand():
    shares = np.array([[0.9, 0.1]] * 4 + [[0.65, 0.35]] * 2)
    labels = np.array([0, 0, 0, 1, 0, 0])  # 3 of 4 right at 0.9, 2 of 2 right at 0.65
    bins = reliability(np.log(shares), labels)
    assert [found.clips for found in bins] == [2, 4]
    assert expected_calibration_error(bins) == pytest.approx((4 * 0.15 + 2 * 0.35) / 6)


# -- intervals -------------------------------------------------------------------------------------------------------


def test_students_t_agrees_with_scipy():
    for freedom in (*range(1, 31), 100, 1000):
        assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-5)


def test_intervals_of_many_recordings_agree_with_scipys_bootstrap():
    values = np.random.default_rng(1).random(80) < 0.7
    low, high = mean_interval(values, [f"v{i}" for i in range(80)])
    expected = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(2))
    assert (low, high) == pytest.approx(expected.confidence_interval, abs=0.02)
    assert low < values.mean() < high


def test_the_interval_by_hand():
    """Six recordings of one clip each, four of them right: on log-odds, with 5 degrees of freedom."""
    low, high = mean_interval(np.array([1, 1, 0, 1, 0, 1]), list("abcdef"))
    error = np.sqrt(5 / 6 * (4 * (3 / 5 - 4 / 6) ** 2 + 2 * (4 / 5 - 4 / 6) ** 2))
    reach = stats.t.ppf(0.975, 5) * error / (4 / 6 * 2 / 6)
    assert (low, high) == pytest.approx((1 / (1 + np.exp(-np.log(2) + reach)), 1 / (1 + np.exp(-np.log(2) - reach))))


def test_duplicate_clips_of_a_recording_do_not_narrow_the_interval():
    values = np.random.default_rng(3).random(40) < 0.6
    one = mean_interval(values, [f"v{i}" for i in range(40)])
    repeated = np.repeat(values, 25)
    assert mean_interval(repeated, [f"v{i}" for i in np.repeat(np.arange(40), 25)]) == pytest.approx(one)
    low, high = mean_interval(repeated, [f"v{i}" for i in range(1000)])  # as if every clip stood for itself
    assert high - low < 0.4 * (one[1] - one[0])


def test_clips_are_weighted_equally_as_in_the_mean():
    """A recording of 5 clips and eleven of one: the interval is around the mean of clips, not that of recordings."""
    values = np.concatenate([np.ones(5), np.arange(11) % 2 == 0])
    names = ["long"] * 5 + [f"v{i}" for i in range(11)]
    low, high = mean_interval(values, names)
    middle = 1 / (1 + np.exp(-(np.log(low / (1 - low)) + np.log(high / (1 - high))) / 2))
    assert middle == pytest.approx(values.mean())
    shorter = mean_interval(np.concatenate([[1.0], values[5:]]), ["long", *names[5:]])
    assert high - low > shorter[1] - shorter[0]  # much of what is known comes from one recording
    low, high = mean_interval(np.concatenate([np.ones(3000), values]), ["long"] * 3000 + names)
    assert low < 0.01 and high > 0.99  # nearly all of it: next to nothing is known


@pytest.mark.parametrize("values", [np.ones(40), np.zeros(40), np.arange(40) % 2 == 0])
def test_no_interval_has_no_width(values):
    """All right, all wrong, or the same share in every recording: nothing is known about how recordings differ."""
    names = [f"v{i // 4}" for i in range(40)]
    assert mean_interval(values, names) is None
    assert paired_difference(values, values, names) == (0, None)
    assert paired_difference(values, 0 * values, names) == (values.mean(), None)


def test_fewer_than_six_recordings_have_no_interval():
    generator = np.random.default_rng(0)
    for count in range(1, 10):
        values, names = generator.random(8 * count), [f"v{i // 8}" for i in range(8 * count)]
        assert (mean_interval(values, names) is None) == (count < 6)
        assert (paired_difference(values, values[::-1], names)[1] is None) == (count < 6)


def test_values_outside_0_to_1_are_refused():
    with pytest.raises(ValueError, match=r"values must lie in 0 to 1, got 0 to 2"):
        mean_interval(np.array([0, 2.0]), ["a", "b"])


def drawn(generator, groups: int, share: float, likeness: float, sizes: str) -> tuple[np.ndarray, np.ndarray]:
    """Right clips and clips (4000, groups) of recordings whose own shares vary: beta-binomial."""
    shape = (4000, groups)
    own = generator.beta(share * (1 - likeness) / likeness, (1 - share) * (1 - likeness) / likeness, shape)
    counts = np.full(shape, 8) if sizes == "equal" else np.minimum(generator.geometric(0.1, shape), 60)
    return generator.binomial(counts, own), counts


def covered(truth: float, limits: tuple[np.ndarray, np.ndarray]) -> float:
    low, high = limits
    there = ~np.isnan(low)
    return float(((low <= truth) & (truth <= high))[there].mean())


@pytest.mark.parametrize("sizes", ["equal", "unequal"])
@pytest.mark.parametrize("groups", [6, 8, 12, 20, 40])
@pytest.mark.integration
def test_intervals_cover_the_true_value(groups, sizes):
    """Simulated: the share of intervals that hold the truth. The bootstrap's were 67 to 92 % at 6 to 20 recordings."""
    for share, likeness in ((0.5, 0.3), (0.8, 0.3), (0.8, 0.05), (0.93, 0.05)):
        limits = share_limits(*drawn(np.random.default_rng(groups), groups, share, likeness, sizes))
        assert 0.925 < covered(share, limits) < 0.995, (share, likeness)


@pytest.mark.parametrize("sizes", ["equal", "unequal"])
@pytest.mark.parametrize("groups", [6, 10, 20])
def test_intervals_of_paired_differences_cover_the_true_value(groups, sizes):
    """Two models right on mostly the same clips: of each clip, 1, 0 or -1."""
    for gained, lost in ((0.15, 0.05), (0.2, 0.2)):
        generator = np.random.default_rng(groups)
        lean = generator.beta(4, 4, (4000, groups))  # of a recording: which of the two it suits
        counts = np.full(lean.shape, 10) if sizes == "equal" else np.minimum(generator.geometric(0.08, lean.shape), 60)
        better = generator.binomial(counts, 2 * gained * lean)
        worse = generator.binomial(counts - better, 2 * lost * (1 - lean) / (1 - 2 * gained * lean))
        limits = share_limits((counts + better - worse) / 2, counts)
        assert 0.92 < covered((1 + gained - lost) / 2, limits) < 0.995, (gained, lost)


# two classes of which the second is in two recordings only, and a third in one
RECORDINGS = list("aabbccddeeffg")
CLASSES = np.array([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 2])
RIGHT = np.array([1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1], bool)


def test_the_interval_of_mean_class_accuracy_by_hand():
    """Each recording is left out, with its classes if no other has them; degrees of freedom by its weight."""

    def figure(kept: np.ndarray) -> float:
        return np.mean([RIGHT[kept & (c == CLASSES)].mean() for c in np.unique(CLASSES[kept])])

    names = np.array(RECORDINGS)
    share = figure(np.ones(13, bool))
    without = np.array([figure(names != name) for name in "abcdefg"])
    assert share == pytest.approx((6 / 10 + 1 / 2 + 1) / 3) and without[-1] == pytest.approx((6 / 10 + 1 / 2) / 2)
    error = np.sqrt(6 / 7 * ((without - share) ** 2).sum())
    weights = np.array([0.2, 0.6, 0.2, 0.6, 0.2, 0.2, 1.0])  # 1/10 for a clip of the first class, 1/2, 1
    freedom = int(weights.sum() ** 2 / (weights**2).sum() - 1)
    assert freedom == 3
    reach, odds = stats.t.ppf(0.975, freedom) * error / (share * (1 - share)), np.log(share / (1 - share))
    expected = (1 / (1 + np.exp(reach - odds)), 1 / (1 + np.exp(-reach - odds)))
    assert class_mean_interval(RIGHT, CLASSES, RECORDINGS) == pytest.approx(expected, rel=1e-5)


def test_with_equal_classes_in_each_recording_it_is_the_interval_of_top1():
    right, labels = np.random.default_rng(0).random(80) < 0.6, np.arange(80) % 4
    names = [f"v{i // 8}" for i in range(80)]
    assert class_mean_interval(right, labels, names) == pytest.approx(mean_interval(right, names))
    assert class_mean_interval(right[:40], labels[:40], names[:40]) is None  # five recordings
    assert class_mean_interval(np.ones(80, bool), labels, names) is None


@pytest.mark.parametrize("groups", [8, 20])
@pytest.mark.integration
def test_intervals_of_mean_class_accuracy_cover_the_true_value(groups):
    """Simulated: four classes of falling frequency, of which a recording has mostly one or two."""
    generator, shares = np.random.default_rng(groups), np.array([0.5, 0.6, 0.75, 0.9])
    frequencies, hits = np.array([0.55, 0.2, 0.15, 0.1]), []
    for _ in range(400):
        labels, right, names = [], [], []
        for name in range(groups):
            label = generator.choice(4, generator.integers(1, 16), p=generator.dirichlet(5 * frequencies))
            labels.append(label)
            right.append(generator.random(len(label)) < generator.beta(9 * shares, 9 * (1 - shares))[label])
            names += [str(name)] * len(label)
        labels = np.concatenate(labels)
        low, high = class_mean_interval(np.concatenate(right), labels, names)
        hits.append(low <= shares[np.unique(labels)].mean() <= high)
    assert 0.92 < np.mean(hits) < 0.995


def test_a_paired_difference_has_a_narrower_interval_than_each_model():
    generator = np.random.default_rng(5)
    b = generator.random(120) < 0.5
    a = b | (generator.random(120) < 0.1)  # right where b is, and now and then besides
    names = [f"v{i // 2}" for i in range(120)]
    difference, (low, high) = paired_difference(a, b, names)
    assert difference == pytest.approx(a.mean() - b.mean()) and low <= difference <= high
    intervals = [mean_interval(values, names) for values in (a, b)]
    assert high - low < 0.7 * min(top - bottom for bottom, top in intervals)


def test_clip_targets_are_means_over_unmasked_frames():
    frames = np.array([[[1.0, 0], [0, 1], [50, 50]], [[0, 2], [0, 0], [0, 0]]])
    mask = np.array([[True, True, False], [True, False, False]])
    np.testing.assert_allclose(metrics.clip_logits(frames, mask), [[0.5, 0.5], [0, 2]])
    np.testing.assert_allclose(metrics.clip_embeddings(frames, mask), [[0.5**0.5, 0.5**0.5], [0, 1]])


def test_mean_cosine():
    a, b = np.array([[1.0, 0], [3, 4]]), np.array([[0.0, 2], [3, 4]])
    assert metrics.mean_cosine(a, b) == pytest.approx(0.5)


def test_timing_is_interleaved_without_warm_up():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = measure_interleaved(calls, rounds=6, warmup=2)
    assert order == list("ab") * 8 and set(times["a"]) == {"p50_ms", "p95_ms"}
    assert 0 <= times["a"]["p50_ms"] <= times["a"]["p95_ms"]
