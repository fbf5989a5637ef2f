"""Average precision by definition, against scikit-learn, and its intervals."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from embedonce.pipeline.metrics.average_precision import (
    average_precisions,
    map_interval,
    mean_average_precision,
    micro_average_precision,
    paired_map_difference,
)


def test_average_precision_by_hand():
    """Positives at ranks 1 and 3 of four: (1/1 + 2/3) / 2."""
    scores = np.array([[0.9], [0.8], [0.7], [0.1]])
    positives = np.array([[True], [False], [True], [False]])
    assert average_precisions(scores, positives) == pytest.approx([5 / 6])
    assert average_precisions(-scores, positives) == pytest.approx([(1 / 2 + 2 / 4) / 2])


def test_equal_scores_are_one_step_in_whatever_order():
    positives = np.array([[True], [False], [False], [True]])
    same = np.zeros((4, 1))
    assert average_precisions(same, positives) == pytest.approx([0.5])  # of all clips, half are positive
    assert average_precisions(same, positives[::-1]) == pytest.approx([0.5])


def drawn(num_clips: int = 300, num_classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    positives = generator.random((num_clips, num_classes)) < np.linspace(0.02, 0.5, num_classes)
    scores = (positives + generator.standard_normal(positives.shape)).round(1)  # with equal scores
    return scores, positives


def test_average_precision_agrees_with_scikit_learn():
    scores, positives = drawn()
    expected = [average_precision_score(*columns) for columns in zip(positives.T, scores.T, strict=True)]
    np.testing.assert_allclose(average_precisions(scores, positives), expected)
    assert mean_average_precision(scores, positives) == pytest.approx(np.mean(expected))
    assert micro_average_precision(scores, positives) == pytest.approx(
        average_precision_score(positives, scores, average="micro")
    )


def test_classes_without_positives_are_left_out_of_the_mean():
    scores, positives = drawn()
    positives[:, 2] = False
    found = average_precisions(scores, positives)
    assert np.isnan(found[2]) and np.isfinite(np.delete(found, 2)).all()
    assert mean_average_precision(scores, positives) == pytest.approx(np.delete(found, 2).mean())
    nothing = np.zeros_like(positives)
    assert mean_average_precision(scores, nothing) is micro_average_precision(scores, nothing) is None


def test_the_interval_is_the_jackknife_over_recordings():
    scores, positives = drawn(60, 3)
    names = np.array([f"v{i // 6}" for i in range(60)])
    figure = mean_average_precision(scores, positives)
    left = [names != name for name in np.unique(names)]
    without = np.array([mean_average_precision(scores[kept], positives[kept]) for kept in left])
    error = np.sqrt(9 / 10 * ((without - figure) ** 2).sum())
    weights = np.array([(positives[~kept] / positives.sum(0)).sum() for kept in left])
    freedom = int(weights.sum() ** 2 / (weights**2).sum() - 1)
    reach, odds = stats.t.ppf(0.975, freedom) * error / (figure * (1 - figure)), np.log(figure / (1 - figure))
    expected = 1 / (1 + np.exp(reach - odds)), 1 / (1 + np.exp(-reach - odds))
    assert map_interval(scores, positives, names) == pytest.approx(expected, rel=1e-4)
    assert map_interval(scores[:30], positives[:30], names[:30]) is None  # five recordings


def test_many_recordings_are_left_out_in_groups():
    scores, positives = drawn(3000, 4)
    low, high = map_interval(scores, positives, [f"v{i // 3}" for i in range(3000)])
    assert low < mean_average_precision(scores, positives) < high and high - low < 0.1


def test_differences_are_paired():
    scores, positives = drawn()
    names = [f"v{i // 10}" for i in range(300)]
    better = scores + 0.5 * positives
    difference, (low, high) = paired_map_difference(better, scores, positives, names)
    gain = mean_average_precision(better, positives) - mean_average_precision(scores, positives)
    assert difference == pytest.approx(gain) and 0 < low < difference < high
    single = map_interval(scores, positives, names)
    assert high - low < single[1] - single[0]
    assert paired_map_difference(scores, scores, positives, names) == (0, None)
    assert paired_map_difference(better, scores, positives, ["v"] * 300) == (pytest.approx(gain), None)
    assert paired_map_difference(better, scores, np.zeros_like(positives), names) is None


@pytest.mark.parametrize("groups", [8, 20])
@pytest.mark.integration
def test_intervals_cover_the_true_value(groups):
    """Simulated: scores of positives are shifted by the same for all recordings, and all scores by the recording."""
    generator, hits = np.random.default_rng(groups), []

    def sample(num_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        names = np.repeat(np.arange(num_groups), 10)
        rates = generator.beta(2, 5, (num_groups, 3))[names]
        positives = generator.random(rates.shape) < rates
        return (
            positives + generator.normal(0, 0.3, (num_groups, 1))[names] + generator.normal(0, 1, rates.shape),
            positives,
            names,
        )

    truth = mean_average_precision(*sample(4000)[:2])
    for _ in range(200):
        scores, positives, names = sample(groups)
        low, high = map_interval(scores, positives, names.astype(str))
        hits.append(low <= truth <= high)
    assert 0.9 < np.mean(hits) <= 1.0
