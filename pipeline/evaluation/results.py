"""The figures of an evaluation, from what student and teacher said of the same clips.

Pure arithmetic: knows the keys of evaluation_results.json (docs/evaluation.md); reads, times and writes nothing.
"""

import io

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.metrics.baselines import has_long_tail, majority_baseline
from embedonce.pipeline.metrics.bootstrap_intervals import mean_interval, paired_difference
from embedonce.pipeline.metrics.calibration import expected_calibration_error, reliability
from embedonce.pipeline.metrics.results_schema import SCHEMA_VERSION
from embedonce.pipeline.naming.uids import recording_of

RANDOM_TEACHER_NOTE = "random teacher: this exercises the machinery"


def assemble(
    found: Predictions,
    clips: list[ClipLabel],
    labels: LabelSet,
    class_text: np.ndarray | None,
    teacher: TeacherIdentity,
    student: dict,
    costs: dict[str, dict],
) -> dict:
    """The results, but for split, environment and what only a cache says. None stands for what has no value.

    found: of these clips, in this order. class_text (C, D) unit vectors of a zero-shot label set, None for others.
    student: its size, parameters, bytes_on_disk, input_size. costs: the measured figures of "teacher" and "student",
    and all that is said of a "reference", where there is one.
    """
    recordings = np.array([recording_of(clip.video_uid) for clip in clips])
    zero_shot = None if class_text is None else accuracy.zero_shot_accuracy(found.embeddings, class_text, found.labels)
    train = np.array([clip.label for clip in labels.clips if clip.split == "train"], np.int64)
    majority = majority_baseline(train, found.labels, labels.classes)
    accuracies = _accuracies(found.logits, found.labels, recordings)
    sides = {
        "teacher": _teacher(found, labels, teacher, recordings) | costs["teacher"],
        "student": {**student, **accuracies, "zero_shot_top1": zero_shot, **costs["student"]},
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "note": RANDOM_TEACHER_NOTE if teacher.weights == "random" else None,
        "num_clips": len(found.labels),
        "num_videos": len(set(recordings.tolist())),
        "num_labelled_clips": int((found.labels >= 0).sum()),
        "num_classes": len(labels.classes),
        "chance": 1 / len(labels.classes) if labels.classes else None,
        "majority": majority,
        "long_tail": has_long_tail(majority, len(labels.classes)),
        "verb_noun": None,
        "frames_in_several_clips": None,
        "comparable_with": None,
        "classes": list(labels.classes),
        **sides,
        "reference": costs.get("reference"),
        "comparison": _comparison(found, sides, recordings),
        "per_class": _per_class(found, labels.classes),
        "confusion": {
            "teacher": accuracy.confusion_counts(found.teacher_logits, found.labels),
            "student": accuracy.confusion_counts(found.logits, found.labels),
        },
    }


def predictions_file(found: Predictions, clips: list[ClipLabel], classes: tuple[str, ...]) -> bytes:
    """The bytes of predictions.npz: which clips, and what was said of each; no pickled objects."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        video_uid=np.array([clip.video_uid for clip in clips], str),
        start_sec=np.array([clip.start_sec for clip in clips], np.float64),
        end_sec=np.array([clip.end_sec for clip in clips], np.float64),
        labels=found.labels.astype(np.int64),
        logits=found.logits.astype(np.float32),
        teacher_logits=found.teacher_logits.astype(np.float32),
        embeddings=found.embeddings.astype(np.float16),
        teacher_embeddings=found.teacher_embeddings.astype(np.float16),
        classes=np.array(classes, str),
    )
    return buffer.getvalue()


def _teacher(found: Predictions, labels: LabelSet, teacher: TeacherIdentity, recordings: np.ndarray) -> dict:
    return {
        "name": teacher.name,
        "weights": teacher.weights,
        **_accuracies(found.teacher_logits, found.labels, recordings),
        "head": labels.kind,
        "parameters": {"image": teacher.parameters_image, "total": teacher.parameters_total},
        "bytes_on_disk": {"image": teacher.bytes_image, "total": teacher.bytes_total},
        "input_size": teacher.input_size,
    }


def _accuracies(logits: np.ndarray, labels: np.ndarray, recordings: np.ndarray) -> dict:
    right, bins = _right(logits, labels), reliability(logits, labels)
    interval = None if right is None else mean_interval(right, recordings[labels >= 0])
    return {
        "top1": accuracy.top_k_accuracy(logits, labels, 1),
        "top5": accuracy.top_k_accuracy(logits, labels, 5) if logits.shape[1] > 5 else None,
        "mean_class_accuracy": accuracy.mean_class_accuracy(logits, labels),
        "top1_interval": interval and list(interval),
        "calibration_error": expected_calibration_error(bins),
        "reliability": bins,
    }


def _right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Whether each labeled clip was told right; None where no clip has a label or no class a logit."""
    labeled = labels >= 0
    return logits[labeled].argmax(1) == labels[labeled] if labeled.any() and logits.shape[1] else None


def _comparison(found: Predictions, sides: dict, recordings: np.ndarray) -> dict:
    right, teacher_right = (_right(logits, found.labels) for logits in (found.logits, found.teacher_logits))
    drop = drop_interval = agreement_interval = None
    if right is not None and teacher_right is not None:
        drop, drop_interval = paired_difference(teacher_right, right, recordings[found.labels >= 0])
    if found.logits.shape[1] and found.teacher_logits.shape[1]:
        agreement_interval = mean_interval(found.logits.argmax(1) == found.teacher_logits.argmax(1), recordings)
    teacher, student = sides["teacher"], sides["student"]
    timed = teacher["latency_ms"] and student["latency_ms"]
    both = found.logits, found.teacher_logits
    return {
        "accuracy_drop_points": None if drop is None else 100 * drop,
        "accuracy_drop_interval": drop_interval and [100 * end for end in drop_interval],
        "compression": teacher["parameters"]["image"] / student["parameters"]["deployed"],
        "agreement": accuracy.agreement(*both) if found.logits.shape[1] else None,
        "agreement_top5": accuracy.agreement(*both, 5) if found.logits.shape[1] > 5 else None,
        "agreement_interval": agreement_interval and list(agreement_interval),
        "kl_divergence": accuracy.kl_divergence(found.teacher_logits, found.logits),
        "embedding_cosine": found.cosine,
        "latency_ratio": teacher["latency_ms"]["p50_ms"] / student["latency_ms"]["p50_ms"] if timed else None,
    }


def _per_class(found: Predictions, classes: tuple[str, ...]) -> list[dict]:
    student = accuracy.class_accuracies(found.logits, found.labels)
    teacher = accuracy.class_accuracies(found.teacher_logits, found.labels)
    return [
        {"class": classes[c], **facts, "teacher_top1": teacher.get(c, {}).get("top1")} for c, facts in student.items()
    ]
