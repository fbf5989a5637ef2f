"""Retrieval figures against brute force over every order of equal scores."""

import itertools

import numpy as np
import pytest

from embedonce.pipeline.metrics import retrieval
from embedonce.pipeline.metrics.retrieval import (
    CHOICES,
    answered,
    chance_of_texts,
    clips_of_texts,
    questions,
    similarities,
    texts_of_clips,
)

DIM = 3


def grid_vectors(count: int, seed: int) -> np.ndarray:
    """Unit vectors of few different directions, so that many cosines are equal."""
    generator = np.random.default_rng(seed)
    directions = np.concatenate([np.eye(DIM), -np.eye(DIM)])
    return directions[generator.integers(0, len(directions), count)]


def orders(scores: list[float]):
    """Every order of the items by falling score."""
    groups = [[i for i, score in enumerate(scores) if score == value] for value in sorted(set(scores), reverse=True)]
    for parts in itertools.product(*map(itertools.permutations, groups)):
        yield [i for part in parts for i in part]


def brute_force(scores: list[float], relevant: set[int]) -> tuple[float, float, float, float]:
    """(recall at 1, recall at 5, rank, average precision), the first three means over all orders."""
    firsts = [min(order.index(i) for i in relevant) + 1 for order in orders(scores)]
    recalls = [np.mean([first <= k for first in firsts]) for k in (1, 5)]
    found, precision = 0, 0.0
    for value in sorted(set(scores), reverse=True):
        hits = sum(scores[i] == value for i in relevant)
        found += hits
        precision += hits / len(relevant) * found / sum(score >= value for score in scores)
    return (*recalls, np.mean(firsts), precision)


@pytest.mark.parametrize("seed", range(12))
def test_figures_equal_those_of_every_order_of_equal_scores(seed, monkeypatch):
    monkeypatch.setattr(retrieval, "BLOCK", 2)
    generator = np.random.default_rng(seed)
    num_clips, num_texts = 7, 4
    text_of = np.concatenate([np.arange(num_texts), generator.integers(0, num_texts, num_clips - num_texts)])
    texts, clips = grid_vectors(num_texts, seed), grid_vectors(num_clips, 100 + seed)
    by_text, by_clip = clips_of_texts(texts, clips, text_of), texts_of_clips(texts, clips, text_of)
    for ranks, queries, items, is_relevant in (
        (by_text, texts, clips, lambda q: set(np.flatnonzero(text_of == q).tolist())),
        (by_clip, clips, texts, lambda q: {int(text_of[q])}),
    ):
        for q, query in enumerate(queries):
            expected = brute_force([float(round(query @ item, 6)) for item in items], is_relevant(q))
            figures = ranks.recall(1)[q], ranks.recall(5)[q], ranks.rank[q], ranks.precision[q]
            np.testing.assert_allclose(figures, expected, err_msg=f"query {q}")


def test_queries_may_be_repeated():
    text_of = np.array([0, 1, 1])
    ranks = clips_of_texts(grid_vectors(2, 0), grid_vectors(3, 1), text_of)
    assert ranks.of(text_of).rank.tolist() == [ranks.rank[0], ranks.rank[1], ranks.rank[1]]


def test_cosines_that_differ_by_rounding_are_equal():
    a = np.array([[1.0, 0.0]])
    assert np.ptp(similarities(a, np.array([[0.6, 0.8], [0.6 + 1e-9, -0.8]]))) == 0
    assert np.ptp(similarities(a, np.array([[0.6, 0.8], [0.6001, -0.8]]))) > 0


def test_chance_is_what_random_orders_give():
    text_of = np.array([0, 0, 0, 1, 2, 2, 3, 4])
    generator = np.random.default_rng(0)
    draws = [generator.permutation(text_of) for _ in range(20000)]
    for k in (1, 5):
        simulated = np.mean([[text in order[:k] for text in text_of] for order in draws])
        assert chance_of_texts(text_of, k) == pytest.approx(simulated, abs=0.005)


RECORDINGS = np.repeat(np.array([f"r{i}" for i in range(8)]), 8)
TEXT_OF = np.random.default_rng(0).integers(0, 20, 64)


@pytest.mark.parametrize("is_within", [True, False])
def test_wrong_choices_never_have_the_text_and_are_of_the_right_recordings(is_within):
    asked = questions(TEXT_OF, RECORDINGS, is_within, seed=3)
    assert asked.shape == (64, CHOICES) and asked[:, 0].tolist() == list(range(64))
    assert (TEXT_OF[asked[:, 1:]] != TEXT_OF[asked[:, :1]]).all()
    numbers = [len(set(RECORDINGS[row])) for row in asked]
    assert numbers == [1 if is_within else CHOICES] * 64 and all(len(set(row)) == CHOICES for row in asked.tolist())
    np.testing.assert_array_equal(asked, questions(TEXT_OF, RECORDINGS, is_within, seed=3))
    assert (asked != questions(TEXT_OF, RECORDINGS, is_within, seed=4)).any()


def test_clips_without_enough_others_are_not_asked_about(monkeypatch):
    recordings = np.array(["a"] * 5 + ["b"])
    assert questions(np.array([0, 1, 2, 3, 4, 5]), recordings, True, 0)[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert questions(np.array([0, 1, 2, 3, 3, 5]), recordings, True, 0)[:, 0].tolist() == [0, 1, 2]
    assert questions(np.arange(6), recordings, False, 0).shape == (0, CHOICES)
    monkeypatch.setattr(retrieval, "MAX_QUESTIONS", 2)
    assert len(questions(np.array([0, 1, 2, 3, 4, 5]), recordings, True, 0)) == 2


def test_every_clip_is_a_wrong_choice_equally_often():
    drawn = np.concatenate([questions(np.arange(40), np.repeat(np.arange(8), 5), False, s)[:, 1:] for s in range(60)])
    counts = np.bincount(drawn.ravel(), minlength=40)
    assert counts.min() > 0.75 * counts.mean() and counts.max() < 1.25 * counts.mean()


def test_answers_count_by_their_share_of_the_best_scores():
    clips = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0], [0.0, -1.0]])
    texts = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    asked = np.array([[0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [0, 1, 2, 3, 4]])
    assert answered(texts, clips, asked).tolist() == [0.5, 1.0, 0.0]
