"""Compute the figures of an evaluation from predictions of student and teacher for the same clips. Pure arithmetic."""

from dataclasses import dataclass

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.metrics.average_precision import (
    average_precisions,
    map_interval,
    mean_average_precision,
    micro_average_precision,
    paired_map_difference,
)
from embedonce.pipeline.metrics.baselines import has_long_tail, majority_baseline
from embedonce.pipeline.metrics.bootstrap_intervals import class_mean_interval, mean_interval, paired_difference
from embedonce.pipeline.metrics.calibration import expected_calibration_error, reliability
from embedonce.pipeline.metrics.results_schema import (
    SCHEMA_VERSION,
    Accuracies,
    ClassResults,
    Comparison,
    Confusion,
    Costs,
    EvaluationResults,
    Interval,
    Reference,
    Sizes,
    StudentResults,
    TeacherResults,
)
from embedonce.pipeline.naming.uids import recording_of

RANDOM_TEACHER_NOTE = "random teacher: this exercises the machinery"


@dataclass(frozen=True)
class StudentFacts:
    """What the results hold about a student besides its figures. parameters: counts by part; input_size: pixels."""

    size: str
    parameters: dict[str, int]
    bytes_on_disk: Sizes
    input_size: int


@dataclass(frozen=True)
class MeasuredCosts:
    """The costs of both models, and those of a common teacher if it was timed, too."""

    teacher: Costs
    student: Costs
    reference: Reference | None = None


def assemble(
    predictions: Predictions,
    clips: list[ClipLabel],
    labels: LabelSet,
    class_text: np.ndarray | None,
    teacher: TeacherIdentity,
    student: StudentFacts,
    costs: MeasuredCosts,
    split: str = "val",
) -> EvaluationResults:
    """The results, except for environment, calibrated, verb_noun, retrieval, frames_in_several_clips, comparable_with.

    predictions: for these clips, in this order. class_text: (C, D) unit vectors of a zero-shot label set, else None.
    """
    recordings = np.array([recording_of(clip.video_uid) for clip in clips])
    train = np.array([clip.label for clip in labels.clips if clip.split == "train"], np.int64)
    majority = majority_baseline(train, predictions.labels, labels.classes)
    teacher_results = _teacher(predictions, labels, teacher, recordings, costs.teacher)
    student_results = _student(predictions, class_text, student, recordings, costs.student)
    return EvaluationResults(
        schema_version=SCHEMA_VERSION,
        note=RANDOM_TEACHER_NOTE if teacher.weights == "random" else None,
        split=split,
        num_clips=len(predictions.labels),
        num_videos=len(set(recordings.tolist())),
        num_labelled_clips=int(predictions.labeled.sum()),
        num_classes=len(labels.classes),
        multi_label=labels.multi_label,
        chance=1 / len(labels.classes) if labels.classes and not labels.multi_label else None,
        majority=majority,
        long_tail=has_long_tail(majority, len(labels.classes)),
        verb_noun=None,
        retrieval=None,
        frames_in_several_clips=None,
        comparable_with=None,
        classes=list(labels.classes),
        teacher=teacher_results,
        student=student_results,
        reference=costs.reference,
        comparison=_comparison(predictions, teacher_results, student_results, recordings),
        calibrated=None,
        per_class=_per_class(predictions, labels.classes),
        confusion=Confusion(
            teacher=accuracy.confusion_counts(predictions.teacher_logits, predictions.labels),
            student=accuracy.confusion_counts(predictions.logits, predictions.labels),
        ),
        environment={},
    )


def _teacher(
    predictions: Predictions, labels: LabelSet, teacher: TeacherIdentity, recordings: np.ndarray, costs: Costs
) -> TeacherResults:
    return TeacherResults(
        name=teacher.name,
        weights=teacher.weights,
        head=labels.kind,
        parameters=Sizes(image=teacher.parameters_image, total=teacher.parameters_total),
        bytes_on_disk=Sizes(image=teacher.bytes_image, total=teacher.bytes_total),
        input_size=teacher.input_size,
        **_fields(_accuracies(predictions.teacher_logits, predictions.labels, recordings, predictions.multi_hot)),
        **_fields(costs),
    )


def _student(
    predictions: Predictions,
    class_text: np.ndarray | None,
    student: StudentFacts,
    recordings: np.ndarray,
    costs: Costs,
) -> StudentResults:
    zero_shot = None
    if class_text is not None:
        zero_shot = accuracy.zero_shot_accuracy(predictions.embeddings, class_text, predictions.labels)
    return StudentResults(
        zero_shot_top1=zero_shot,
        **_fields(student),
        **_fields(_accuracies(predictions.logits, predictions.labels, recordings, predictions.multi_hot)),
        **_fields(costs),
    )


def _fields(part: StudentFacts | Accuracies | Costs) -> dict:
    """The fields of a dataclass by name, as they are."""
    return {name: getattr(part, name) for name in part.__dataclass_fields__}


def _accuracies(
    logits: np.ndarray, labels: np.ndarray, recordings: np.ndarray, multi_hot: np.ndarray | None = None
) -> Accuracies:
    right, bins, labeled = _right(logits, labels), reliability(logits, labels), labels >= 0
    return Accuracies(
        top1=accuracy.top_k_accuracy(logits, labels, 1),
        top5=accuracy.top_k_accuracy(logits, labels, 5) if logits.shape[1] > 5 else None,
        mean_class_accuracy=accuracy.mean_class_accuracy(logits, labels),
        top1_interval=None if right is None else mean_interval(right, recordings[labeled]),
        mean_class_interval=None if right is None else class_mean_interval(right, labels[labeled], recordings[labeled]),
        **_precisions(logits, recordings, multi_hot),
        calibration_error=expected_calibration_error(bins),
        reliability=bins,
    )


def _precisions(logits: np.ndarray, recordings: np.ndarray, multi_hot: np.ndarray | None) -> dict:
    """The fields of Accuracies for clips with several labels, of the labeled clips."""
    if multi_hot is None or not logits.shape[1]:
        return dict.fromkeys(("mean_average_precision", "map_interval", "micro_average_precision"))
    labeled = multi_hot.any(1)
    logits, multi_hot, recordings = logits[labeled], multi_hot[labeled], recordings[labeled]
    return {
        "mean_average_precision": mean_average_precision(logits, multi_hot),
        "map_interval": map_interval(logits, multi_hot, recordings),
        "micro_average_precision": micro_average_precision(logits, multi_hot),
    }


def _right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Whether each labeled clip was classified correctly; None without labels or without logits."""
    labeled = labels >= 0
    return logits[labeled].argmax(1) == labels[labeled] if labeled.any() and logits.shape[1] else None


def _comparison(
    predictions: Predictions, teacher: TeacherResults, student: StudentResults, recordings: np.ndarray
) -> Comparison:
    labeled, both = predictions.labels >= 0, (predictions.logits, predictions.teacher_logits)
    right, teacher_right = (_right(logits, predictions.labels) for logits in both)
    drop = drop_interval = agreement_interval = latency_ratio = None
    if right is not None and teacher_right is not None:
        drop, drop_interval = paired_difference(teacher_right, right, recordings[labeled])
    map_drop = _map_drop(predictions, recordings)
    if both[0].shape[1] and both[1].shape[1]:
        agreement_interval = mean_interval(both[0].argmax(1) == both[1].argmax(1), recordings)
    if teacher.latency_ms and student.latency_ms:
        latency_ratio = teacher.latency_ms.p50_ms / student.latency_ms.p50_ms
    return Comparison(
        accuracy_drop_points=None if drop is None else 100 * drop,
        accuracy_drop_interval=_points(drop_interval),
        map_drop_points=None if map_drop is None else 100 * map_drop[0],
        map_drop_interval=None if map_drop is None else _points(map_drop[1]),
        compression=teacher.parameters.image / student.parameters["deployed"],
        agreement=accuracy.agreement(*both) if both[0].shape[1] else None,
        agreement_top5=accuracy.agreement(*both, 5) if both[0].shape[1] > 5 else None,
        agreement_interval=agreement_interval,
        kl_divergence=_divergence(predictions),
        embedding_cosine=predictions.cosine,
        latency_ratio=latency_ratio,
    )


def _points(interval: Interval | None) -> Interval | None:
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def _divergence(predictions: Predictions) -> float | None:
    """None if clips have several labels, as the student's logits are then no softmax."""
    if predictions.multi_hot is not None:
        return None
    return accuracy.kl_divergence(predictions.teacher_logits, predictions.logits)


def _map_drop(predictions: Predictions, recordings: np.ndarray) -> tuple[float, Interval | None] | None:
    """The teacher's mean average precision less the student's, on labeled clips, and the interval of the difference."""
    both = (predictions.teacher_logits, predictions.logits)
    if predictions.multi_hot is None or not all(logits.shape[1] for logits in both):
        return None
    labeled = predictions.labeled
    teacher, student = (logits[labeled] for logits in both)
    return paired_map_difference(teacher, student, predictions.multi_hot[labeled], recordings[labeled])


def _per_class(predictions: Predictions, classes: tuple[str, ...]) -> list[ClassResults]:
    if predictions.multi_hot is not None:
        return _precision_by_class(predictions, predictions.multi_hot, classes)
    student = accuracy.class_accuracies(predictions.logits, predictions.labels)
    teacher = accuracy.class_accuracies(predictions.teacher_logits, predictions.labels)
    return [
        ClassResults(classes[number], clips, top1, teacher[number][1] if number in teacher else None, None, None)
        for number, (clips, top1) in student.items()
    ]


def _precision_by_class(
    predictions: Predictions, multi_hot: np.ndarray, classes: tuple[str, ...]
) -> list[ClassResults]:
    """The classes that have clips, with average precisions over the labeled clips."""
    labeled, counts = predictions.labeled, multi_hot.sum(0)
    student, teacher = (
        average_precisions(logits[labeled], multi_hot[labeled]).tolist() if logits.shape[1] else [None] * len(classes)
        for logits in (predictions.logits, predictions.teacher_logits)
    )
    return [
        ClassResults(classes[number], int(counts[number]), None, None, student[number], teacher[number])
        for number in np.flatnonzero(counts).tolist()
    ]
