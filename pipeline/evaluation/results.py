"""Compute the figures of an evaluation from predictions of student and teacher for the same clips. Pure arithmetic."""

from dataclasses import dataclass

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics import accuracy
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
    """The results, except for environment, verb_noun, frames_in_several_clips and comparable_with.

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
        num_labelled_clips=int((predictions.labels >= 0).sum()),
        num_classes=len(labels.classes),
        chance=1 / len(labels.classes) if labels.classes else None,
        majority=majority,
        long_tail=has_long_tail(majority, len(labels.classes)),
        verb_noun=None,
        frames_in_several_clips=None,
        comparable_with=None,
        classes=list(labels.classes),
        teacher=teacher_results,
        student=student_results,
        reference=costs.reference,
        comparison=_comparison(predictions, teacher_results, student_results, recordings),
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
        **_fields(_accuracies(predictions.teacher_logits, predictions.labels, recordings)),
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
        **_fields(_accuracies(predictions.logits, predictions.labels, recordings)),
        **_fields(costs),
    )


def _fields(part: StudentFacts | Accuracies | Costs) -> dict:
    """The fields of a dataclass by name, as they are."""
    return {name: getattr(part, name) for name in part.__dataclass_fields__}


def _accuracies(logits: np.ndarray, labels: np.ndarray, recordings: np.ndarray) -> Accuracies:
    right, bins, labeled = _right(logits, labels), reliability(logits, labels), labels >= 0
    return Accuracies(
        top1=accuracy.top_k_accuracy(logits, labels, 1),
        top5=accuracy.top_k_accuracy(logits, labels, 5) if logits.shape[1] > 5 else None,
        mean_class_accuracy=accuracy.mean_class_accuracy(logits, labels),
        top1_interval=None if right is None else mean_interval(right, recordings[labeled]),
        mean_class_interval=None if right is None else class_mean_interval(right, labels[labeled], recordings[labeled]),
        calibration_error=expected_calibration_error(bins),
        reliability=bins,
    )


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
    if both[0].shape[1] and both[1].shape[1]:
        agreement_interval = mean_interval(both[0].argmax(1) == both[1].argmax(1), recordings)
    if teacher.latency_ms and student.latency_ms:
        latency_ratio = teacher.latency_ms.p50_ms / student.latency_ms.p50_ms
    return Comparison(
        accuracy_drop_points=None if drop is None else 100 * drop,
        accuracy_drop_interval=None if drop_interval is None else (100 * drop_interval[0], 100 * drop_interval[1]),
        compression=teacher.parameters.image / student.parameters["deployed"],
        agreement=accuracy.agreement(*both) if both[0].shape[1] else None,
        agreement_top5=accuracy.agreement(*both, 5) if both[0].shape[1] > 5 else None,
        agreement_interval=agreement_interval,
        kl_divergence=accuracy.kl_divergence(predictions.teacher_logits, predictions.logits),
        embedding_cosine=predictions.cosine,
        latency_ratio=latency_ratio,
    )


def _per_class(predictions: Predictions, classes: tuple[str, ...]) -> list[ClassResults]:
    student = accuracy.class_accuracies(predictions.logits, predictions.labels)
    teacher = accuracy.class_accuracies(predictions.teacher_logits, predictions.labels)
    return [
        ClassResults(classes[number], clips, top1, teacher[number][1] if number in teacher else None)
        for number, (clips, top1) in student.items()
    ]
