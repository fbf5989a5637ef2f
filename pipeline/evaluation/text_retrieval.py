"""Retrieval between held-out clips and their texts, by student and teacher, from the text vectors in the cache."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics.bootstrap_intervals import mean_interval, paired_difference
from embedonce.pipeline.metrics.results_schema import (
    Interval,
    MultipleChoice,
    Retrieval,
    RetrievalScores,
    TextRetrieval,
)
from embedonce.pipeline.metrics.retrieval import (
    CHOICES,
    Ranks,
    answered,
    chance_of_texts,
    clips_of_texts,
    questions,
    texts_of_clips,
)
from embedonce.pipeline.naming.uids import recording_of


@dataclass(frozen=True)
class ClipsWithTexts:
    """N clips and their T different texts.

    texts (T, D) unit vectors; text_of (N,) index of each clip's text; recordings (N,); teacher, student (N, D) unit
    vectors of the clips.
    """

    texts: np.ndarray
    text_of: np.ndarray
    recordings: np.ndarray
    teacher: np.ndarray
    student: np.ndarray


def text_retrieval(
    reader: CacheReader, labels: LabelSet, clips: list[ClipLabel], predictions: Predictions, seed: int
) -> TextRetrieval | None:
    """The figures on those of these clips that have a text; None if they have fewer than two different ones.

    predictions: for these clips, in this order. seed: of the wrong choices of questions.
    """
    store = reader.texts(labels.name)
    texts = store.read()
    if texts is None:
        return None
    numbers = texts.numbers(clips)
    has_text = np.flatnonzero(numbers >= 0)
    used, text_of = np.unique(numbers[has_text], return_inverse=True)
    if len(used) < 2:
        return None
    found = ClipsWithTexts(
        store.vectors(texts, used),
        text_of,
        np.array([recording_of(clips[i].video_uid) for i in has_text]),
        predictions.teacher_embeddings[has_text],
        predictions.embeddings[has_text],
    )
    return figures(found, seed)


def figures(found: ClipsWithTexts, seed: int) -> TextRetrieval:
    """All figures. A text is a query as often as clips have it."""
    num_clips, num_texts = len(found.text_of), len(found.texts)

    def by_text(clips: np.ndarray) -> Ranks:
        return clips_of_texts(found.texts, clips, found.text_of).of(found.text_of)

    def by_clip(clips: np.ndarray) -> Ranks:
        return texts_of_clips(found.texts, clips, found.text_of)

    chance = [chance_of_texts(found.text_of, k) for k in (1, 5)]
    return TextRetrieval(
        num_clips=num_clips,
        num_texts=num_texts,
        text_to_video=_retrieval(found, by_text, num_clips, chance),
        video_to_text=_retrieval(found, by_clip, num_texts, [min(1.0, k / num_texts) for k in (1, 5)]),
        inter_video=_multiple_choice(found, False, seed),
        intra_video=_multiple_choice(found, True, seed),
    )


def _retrieval(
    found: ClipsWithTexts, ranks_of: Callable[[np.ndarray], Ranks], candidates: int, chance: list[float]
) -> Retrieval:
    """ranks_of: clip vectors (N, D) of a model -> the ranks of N queries, one for each clip. chance: at 1 and at 5."""
    teacher, student = ranks_of(found.teacher), ranks_of(found.student)
    drop, interval = paired_difference(teacher.recall(1), student.recall(1), found.recordings)
    return Retrieval(
        candidates=candidates,
        chance_at_1=chance[0],
        chance_at_5=chance[1],
        teacher=_scores(teacher, found.recordings),
        student=_scores(student, found.recordings),
        recall_at_1_drop_points=100 * drop,
        recall_at_1_drop_interval=_points(interval),
    )


def _scores(ranks: Ranks, recordings: np.ndarray) -> RetrievalScores:
    return RetrievalScores(
        recall_at_1=float(ranks.recall(1).mean()),
        recall_at_1_interval=mean_interval(ranks.recall(1), recordings),
        recall_at_5=float(ranks.recall(5).mean()),
        recall_at_5_interval=mean_interval(ranks.recall(5), recordings),
        median_rank=float(np.median(ranks.rank)),
        mean_average_precision=float(ranks.precision.mean()),
        map_interval=mean_interval(ranks.precision, recordings),
    )


def _multiple_choice(found: ClipsWithTexts, is_within: bool, seed: int) -> MultipleChoice | None:
    asked = questions(found.text_of, found.recordings, is_within, seed)
    if not len(asked):
        return None
    texts, recordings = found.texts[found.text_of[asked[:, 0]]], found.recordings[asked[:, 0]]
    teacher, student = (answered(texts, clips, asked) for clips in (found.teacher, found.student))
    drop, interval = paired_difference(teacher, student, recordings)
    return MultipleChoice(
        questions=len(asked),
        chance=1 / CHOICES,
        teacher=float(teacher.mean()),
        teacher_interval=mean_interval(teacher, recordings),
        student=float(student.mean()),
        student_interval=mean_interval(student, recordings),
        drop_points=100 * drop,
        drop_interval=_points(interval),
    )


def _points(interval: Interval | None) -> Interval | None:
    return None if interval is None else (100 * interval[0], 100 * interval[1])
