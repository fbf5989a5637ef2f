"""The figures of retrieval in the order of tables, on the terminal and in the report. Computes and formats none."""

from typing import NamedTuple

from embedonce.pipeline.metrics.results_schema import (
    Interval,
    MultipleChoice,
    Retrieval,
    RetrievalScores,
    TextRetrieval,
)


class Share(NamedTuple):
    """A share from 0 to 1, with its 95 % interval."""

    value: float
    interval: Interval | None


class Figure(NamedTuple):
    """One line: a name, the value of each model, and points lost by the student with their interval, if computed."""

    name: str
    teacher: Share
    student: Share
    drop: float | None = None
    drop_interval: Interval | None = None


class Ranks(NamedTuple):
    """One line with the median ranks of both models."""

    name: str
    teacher: float
    student: float


def retrieval_figures(retrieval: TextRetrieval | None) -> list[Figure | Ranks]:
    """All lines; none without texts."""
    if retrieval is None:
        return []
    lines = [
        *_of_direction("text to video", retrieval.text_to_video),
        *_of_direction("video to text", retrieval.video_to_text),
    ]
    choices = (
        ("multiple choice, inter-video", retrieval.inter_video),
        ("multiple choice, intra-video", retrieval.intra_video),
    )
    return lines + [_of_choice(name, choice) for name, choice in choices if choice is not None]


def retrieval_context(retrieval: TextRetrieval | None) -> str:
    """What the figures are of, and the chance level of each; empty without texts."""
    if retrieval is None:
        return ""
    levels = [
        f"{name} R@1 {direction.chance_at_1:.1%}, R@5 {direction.chance_at_5:.1%}"
        for name, direction in (("text to video", retrieval.text_to_video), ("video to text", retrieval.video_to_text))
    ]
    choices = [choice for choice in (retrieval.inter_video, retrieval.intra_video) if choice is not None]
    levels += [f"multiple choice {choices[0].chance:.0%}"] if choices else []
    counts = f"{retrieval.num_clips} clips with {retrieval.num_texts} different texts"
    return f"retrieval: {counts}; chance: {'; '.join(levels)}".replace("%", " %")


def _of_direction(name: str, found: Retrieval) -> list[Figure | Ranks]:
    teacher, student = found.teacher, found.student
    drop, interval = found.recall_at_1_drop_points, found.recall_at_1_drop_interval
    return [
        Figure(f"{name} R@1", _at_1(teacher), _at_1(student), drop, interval),
        Figure(f"{name} R@5", _at_5(teacher), _at_5(student)),
        Figure(f"{name} mAP", _precision(teacher), _precision(student)),
        Ranks(f"{name} median rank", teacher.median_rank, student.median_rank),
    ]


def _at_1(scores: RetrievalScores) -> Share:
    return Share(scores.recall_at_1, scores.recall_at_1_interval)


def _at_5(scores: RetrievalScores) -> Share:
    return Share(scores.recall_at_5, scores.recall_at_5_interval)


def _precision(scores: RetrievalScores) -> Share:
    return Share(scores.mean_average_precision, scores.map_interval)


def _of_choice(name: str, choice: MultipleChoice) -> Figure:
    return Figure(
        name,
        Share(choice.teacher, choice.teacher_interval),
        Share(choice.student, choice.student_interval),
        choice.drop_points,
        choice.drop_interval,
    )
