"""Near-duplicates and outliers against plain loops over all pairs."""

import itertools

import numpy as np
import pytest

from embedonce.pipeline.metrics import near_duplicates as module
from embedonce.pipeline.metrics.near_duplicates import near_duplicates, outliers


def made_rows(seed: int, count: int = 40) -> tuple[np.ndarray, list[str]]:
    """float16 rows of several groups in mixed order: some nearly the same, some of no unit length."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(6, 8))
    rows = centers[generator.integers(0, 6, count)] + 0.05 * generator.normal(size=(count, 8))
    return rows.astype(np.float16), [f"video {number}" for number in generator.integers(0, 7, count)]


def all_cosines(rows: np.ndarray, groups: list[str]) -> dict[tuple[int, int], float]:
    """(first, second) -> cosine, of all rows of different groups."""
    exact = rows.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    pairs = itertools.combinations(range(len(rows)), 2)
    return {(i, j): float(exact[i] @ exact[j]) for i, j in pairs if groups[i] != groups[j]}


def expected_pairs(rows: np.ndarray, groups: list[str], threshold: float) -> list[tuple[int, int, float]]:
    best = {}
    for (i, j), cosine in sorted(all_cosines(rows, groups).items(), key=lambda item: -item[1]):
        if cosine >= threshold:
            best.setdefault(frozenset((groups[i], groups[j])), (i, j, cosine))
    return list(best.values())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("block", [3, 7, 2048])
def test_pairs_are_those_of_a_loop_over_all_rows(seed, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    rows, groups = made_rows(seed)
    expected = expected_pairs(rows, groups, 0.9)
    assert len(expected) > 8
    for limit in (1, 5, 100):
        found = near_duplicates(rows, groups, 0.9, limit)
        assert [(pair.first, pair.second) for pair in found] == [(i, j) for i, j, _ in expected[:limit]]
        assert [pair.cosine for pair in found] == pytest.approx([cosine for *_, cosine in expected[:limit]], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("block", [3, 7, 2048])
def test_outliers_are_those_of_a_loop_over_all_rows(seed, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    rows, groups = made_rows(seed)
    nearest: dict[int, tuple[float, int]] = {}
    for (i, j), cosine in all_cosines(rows, groups).items():
        for row, other in ((i, j), (j, i)):
            nearest[row] = max(nearest.get(row, (-2.0, -1)), (cosine, other))
    farthest: dict[str, tuple[int, int]] = {}
    for row, (_, other) in sorted(nearest.items(), key=lambda item: item[1][0]):
        farthest.setdefault(groups[row], (row, other))
    found = outliers(rows, groups, limit=4)
    assert [(outlier.row, outlier.nearest) for outlier in found] == list(farthest.values())[:4]
    assert [outlier.cosine for outlier in found] == pytest.approx([nearest[o.row][0] for o in found], abs=1e-6)


def test_of_equal_cosines_the_first_rows_count():
    rows = np.tile(np.eye(1, 8, dtype=np.float16), (6, 1))
    assert near_duplicates(rows, ["b", "a", "b", "a", "c", "c"]) == [(0, 1, 1.0), (0, 4, 1.0), (1, 4, 1.0)]


def test_no_cosine_is_above_one():
    rows = np.repeat(np.random.default_rng(0).normal(size=(30, 512)).astype(np.float16), 2, 0)
    found = near_duplicates(rows, ["a", "b"] * 30) + near_duplicates(rows, [str(i) for i in range(60)])
    assert len(found) == 31 and all(0.999999 < pair.cosine <= 1 for pair in found)


def test_all_rows_are_counted(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    rows, groups = made_rows(0)
    for find in (near_duplicates, outliers):
        counts: list[int] = []
        find(rows, groups, on_rows=counts.append)
        assert counts == [7, 7, 7, 7, 7, 5]


def test_rows_of_one_video_are_neither_duplicates_nor_outliers():
    rows = np.ones((5, 4), np.float32)
    assert near_duplicates(rows, ["a"] * 5) == [] and outliers(rows, ["a"] * 5) == []
    assert near_duplicates(rows[:0], []) == [] and outliers(rows[:0], []) == []


def test_invalid_arguments_are_named():
    rows = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match=r"of 2 rows, not an array of shape \(3, 4\)"):
        near_duplicates(rows, ["a", "b"])
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        outliers(rows, ["a", "b", "c"], limit=0)
    rows[1] = 0
    with pytest.raises(ValueError, match="row 1 of the embeddings is zero or not finite"):
        near_duplicates(rows, ["a", "b", "c"])
