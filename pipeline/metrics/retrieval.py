"""Retrieval between clips and texts: recall, ranks, average precision, and questions with several choices. Pure numpy.

Equal scores are in random order: recall and rank are their expected values. Average precision takes equal scores as one
step, as everywhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.metrics.average_precision import average_precisions

DECIMALS = 6  # of scores: beyond them only the order of summation differs
BLOCK = 256  # queries whose scores are in memory at once
CHOICES = 5
MAX_QUESTIONS = 5000


@dataclass(frozen=True)
class Ranks:
    """How Q queries find what is relevant.

    above (Q,): items with a higher score than the best relevant one. tied (Q,): items with the same score as that,
    itself included; relevant (Q,): those of them that are relevant. precision (Q,): average precision.
    """

    above: np.ndarray
    tied: np.ndarray
    relevant: np.ndarray
    precision: np.ndarray

    def recall(self, k: int) -> np.ndarray:
        """(Q,) probability that a relevant item is among the first k, over all orders of equal scores."""
        missed = np.ones(len(self.above))
        for place in range(k):
            is_tied = self.above + place < k  # the place belongs to items with the score of the best relevant one
            left = np.maximum(self.tied - place, 1)
            share = np.maximum(self.tied - self.relevant - place, 0) / left
            missed = np.where(is_tied, missed * share, missed)
        return 1 - missed

    @property
    def rank(self) -> np.ndarray:
        """(Q,) expected rank, from 1 on, of the first relevant item."""
        return self.above + (self.tied + 1) / (self.relevant + 1)

    def of(self, queries: np.ndarray) -> "Ranks":
        """Those of some queries, by their numbers, of which any may be there several times."""
        return Ranks(*(values[queries] for values in (self.above, self.tied, self.relevant, self.precision)))


def clips_of_texts(texts: np.ndarray, clips: np.ndarray, text_of: np.ndarray) -> Ranks:
    """How each of T texts finds its clips among N: relevant are all clips that have this very text.

    texts (T, D), clips (N, D) unit vectors; text_of (N,): index of each clip's text. Every text has a clip.
    """
    return _ranked(texts, clips, lambda queries: queries[:, None] == text_of, average_precisions)


def texts_of_clips(texts: np.ndarray, clips: np.ndarray, text_of: np.ndarray) -> Ranks:
    """How each of N clips finds its text among T different ones. Arguments as in clips_of_texts()."""
    return _ranked(clips, texts, lambda queries: text_of[queries, None] == np.arange(len(texts)), reciprocal_places)


def chance_of_texts(text_of: np.ndarray, k: int) -> float:
    """Mean recall over clips' texts if clips were in random order."""
    num_clips = len(text_of)
    relevant = np.bincount(text_of)[text_of]
    nothing = np.zeros(num_clips)
    return float(Ranks(nothing, np.full(num_clips, num_clips), relevant, nothing).recall(k).mean())


def _ranked(
    queries: np.ndarray,
    items: np.ndarray,
    is_relevant: Callable[[np.ndarray], np.ndarray],
    precision_of: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Ranks:
    """is_relevant: numbers of queries (q,) -> (q, N) bool. precision_of: as average_precisions()."""
    parts = []
    for start in range(0, len(queries), BLOCK):
        numbers = np.arange(start, min(start + BLOCK, len(queries)))
        scores, relevant = similarities(queries[numbers], items), is_relevant(numbers)
        best = np.where(relevant, scores, -np.inf).max(1, keepdims=True)
        tied = scores == best
        precision = precision_of(scores.T, relevant.T)
        parts.append(((scores > best).sum(1), tied.sum(1), (tied & relevant).sum(1), precision))
    return Ranks(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def reciprocal_places(scores: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """(C,) average precisions of queries with one positive each, without sorting. Arguments as average_precisions()."""
    of_positive = scores[positives.argmax(0), np.arange(scores.shape[1])]
    return 1 / (scores >= of_positive).sum(0)


def similarities(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(Q, N) float64 cosines of unit vectors (Q, D) and (N, D), rounded so that equal ones are equal."""
    return np.round(a.astype(np.float64) @ b.astype(np.float64).T, DECIMALS)


# -- multiple choice ---------------------------------------------------------------------------------------------------


def questions(text_of: np.ndarray, recordings: np.ndarray, is_within: bool, seed: int) -> np.ndarray:
    """(Q, CHOICES) clips of questions "which clip has this text?", the right one first.

    The others never have the same text. is_within: they are of the same recording; else each is of another recording.
    They are drawn at random, for at most MAX_QUESTIONS clips. text_of (N,) and recordings (N,): of the clips. Clips
    without enough others are in no question.
    """
    generator = np.random.default_rng((seed, int(is_within)))
    recording = np.unique(recordings, return_inverse=True)[1]
    asked = []
    for clip in generator.permutation(len(text_of)).tolist():
        is_same = recording == recording[clip]
        candidates = np.flatnonzero((text_of != text_of[clip]) & (is_same if is_within else ~is_same))
        others = generator.permutation(candidates)
        if not is_within:
            others = others[np.sort(np.unique(recording[others], return_index=True)[1])]
        if len(others) >= CHOICES - 1:
            asked.append([clip, *others[: CHOICES - 1].tolist()])
        if len(asked) == MAX_QUESTIONS:
            break
    return np.array(sorted(asked), np.int64).reshape(-1, CHOICES)


def answered(texts: np.ndarray, clips: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(Q,) probability that the right clip of each question is chosen, with equal scores in random order.

    texts (Q, D): of the questions; clips (N, D); asked (Q, CHOICES): see questions(). All vectors are of unit length.
    """
    scores = np.einsum("qd,qcd->qc", texts.astype(np.float64), clips[asked].astype(np.float64))
    scores = np.round(scores, DECIMALS)
    is_best = scores == scores.max(1, keepdims=True)
    return is_best[:, 0] / is_best.sum(1)
