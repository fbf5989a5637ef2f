"""Exact search against scores of all rows in float64, with both ways to find candidates."""

import logging

import numpy as np
import pytest

from embedonce.pipeline.search import brute_force
from embedonce.pipeline.search.brute_force import ranked


def made_blocks(seed: int, sizes: tuple[int, ...] = (700, 1, 900, 399), width: int = 48) -> list[np.ndarray]:
    """float16 unit vectors, many of which are the same or nearly so."""
    generator = np.random.default_rng(seed)
    few = generator.standard_normal((50, width))
    rows = few[generator.integers(0, 50, sum(sizes))] + 0.01 * generator.standard_normal((sum(sizes), width))
    rows[::7] = few[generator.integers(0, 50, len(rows[::7]))]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.split(rows.astype(np.float16), np.cumsum(sizes)[:-1])


def made_query(seed: int, width: int = 48) -> np.ndarray:
    query = np.random.default_rng((seed, 1)).standard_normal(width).astype(np.float32)
    return query / np.linalg.norm(query)


def expected(blocks: list[np.ndarray], query: np.ndarray) -> np.ndarray:
    return (np.concatenate(blocks).astype(np.float64) @ query.astype(np.float64)).astype(np.float32)


@pytest.fixture(params=["numpy", "torch"])
def way(request, monkeypatch):
    monkeypatch.setattr(brute_force, "FEW_ROWS", 10**9 if request.param == "numpy" else 0)
    monkeypatch.setattr(brute_force, "FIRST_CANDIDATES", 16)
    return request.param


@pytest.mark.parametrize("seed", range(4))
def test_candidates_are_the_best_rows_and_their_scores_are_exact(way, seed):
    blocks, query = made_blocks(seed), made_query(seed)
    exact = expected(blocks, query)
    found = list(ranked(blocks, query))
    assert [len(one.rows) for one in found] == [16, 64, 256, 1024, 2000]
    for one in found:
        np.testing.assert_array_equal(one.scores, exact[one.rows])
        assert (np.diff(one.scores) <= 0).all()
        left = np.setdiff1d(np.arange(len(exact)), one.rows)
        assert not len(left) or exact[left].max() <= one.limit
        certain = one.scores > one.limit
        best = np.lexsort((np.arange(len(exact)), -exact))
        np.testing.assert_array_equal(one.rows[certain], best[: certain.sum()])
    assert found[-1].limit == -np.inf
    assert (found[1].scores > found[1].limit).sum() > 16  # the bound is tight enough to be of use


def test_only_allowed_rows_are_found(way):
    blocks, query = made_blocks(0), made_query(0)
    allowed = np.random.default_rng(5).random(2000) < 0.02
    *_, last = ranked(blocks, query, allowed)
    assert sorted(last.rows) == np.flatnonzero(allowed).tolist()
    assert [len(one.rows) for one in ranked(blocks, query, np.zeros(2000, bool))] == [0]


def test_products_that_are_less_exact_than_expected_are_noticed(monkeypatch, caplog):
    """As if a processor added them up in half precision."""
    real = brute_force._in_half_precision
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 2000).astype(np.float32)

    def in_half_precision(blocks, query):
        found = real(blocks, query)
        return found._replace(scores=found.scores + noise)

    monkeypatch.setattr(brute_force, "_in_half_precision", in_half_precision)
    monkeypatch.setattr(brute_force, "FEW_ROWS", 0)
    monkeypatch.setattr(brute_force, "FIRST_CANDIDATES", 16)
    blocks, query = made_blocks(1), made_query(1)
    with caplog.at_level(logging.WARNING):
        first = next(ranked(blocks, query))
    exact = expected(blocks, query)
    assert "less exact on this machine" in caplog.text
    np.testing.assert_array_equal(first.scores, exact[first.rows])
    assert exact[np.setdiff1d(np.arange(2000), first.rows)].max() <= first.limit < first.scores[0]


@pytest.mark.parametrize("rounds_query", [True, False])
def test_the_error_of_products_in_half_precision_is_bounded(rounds_query):
    for seed in range(20):
        blocks, query = made_blocks(seed, width=512), made_query(seed, 512)
        if not rounds_query:
            query = query.astype(np.float16).astype(np.float32)
        found = brute_force._in_half_precision(blocks, query)
        difference = np.abs(found.scores - expected(blocks, query)).max()
        assert difference <= found.error < 2e-3
