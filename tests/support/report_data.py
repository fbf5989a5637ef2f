"""Results of an evaluation as the JSON values of evaluation_results.json, made up around real predictions."""

from pathlib import Path

import numpy as np

from embedonce.cache.store import open_reader
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.metrics.baselines import majority_baseline
from embedonce.pipeline.metrics.results_json import as_json

TRAINING_LOG = """\
epoch,lr,total,feature,response,task,gradient_share_feature,gradient_share_response,gradient_share_task,\
selection_top1,selection_cosine
1,0.001,3.4,0.81,1.2,2.6,0.5,0.2,0.3,0.25,0.5
2,0.0005,2.2,0.52,0.9,1.7,0.4,0.25,0.35,,0.71
3,0.0,1.1,0.31,0.4,0.8,0.3,0.3,0.4,0.75,nan
"""


NO_CLASS_PRECISION = dict.fromkeys(("average_precision", "teacher_average_precision"))
NO_PRECISION = dict.fromkeys(("mean_average_precision", "map_interval", "micro_average_precision"))


def held_out_dataset(cache: Path) -> ClipDataset:
    """The val clips of a tiny cache."""
    reader = open_reader(cache)
    labels = reader.label_set()
    sampling = ClipSampling(frames_per_clip=8, resolution=32, random=False, seed=0)
    return ClipDataset(reader, labels, [clip for clip in labels.clips if clip.split == "val"], sampling)


def predictions_for(labels: np.ndarray, num_classes: int, seed: int = 0) -> Predictions:
    """A teacher that is mostly right, and a student that is a noisy copy of it."""
    generator = np.random.default_rng(seed)
    truth = np.equal(labels[:, None], np.arange(num_classes))
    teacher = (4 * truth + generator.standard_normal(truth.shape)).astype(np.float32)
    student = (teacher + 2 * generator.standard_normal(truth.shape)).astype(np.float32)
    teacher_embeddings = generator.standard_normal((len(labels), 16)).astype(np.float32)
    embeddings = teacher_embeddings + 0.3 * generator.standard_normal((len(labels), 16)).astype(np.float32)
    embeddings, teacher_embeddings = (
        values / np.linalg.norm(values, axis=1, keepdims=True) for values in (embeddings, teacher_embeddings)
    )
    return Predictions(student, embeddings, teacher, teacher_embeddings, labels)


def results_for(found: Predictions, classes: tuple[str, ...]) -> dict:
    """Counts and accuracies are those of the predictions, all other figures are made up."""
    return {
        "schema_version": 1,
        "note": None,
        "split": "val",
        "num_clips": len(found.labels),
        "num_videos": 4,
        "num_labelled_clips": int((found.labels >= 0).sum()),
        "multi_label": False,
        "num_classes": len(classes),
        "chance": 1 / len(classes),
        "majority": as_json(majority_baseline(found.labels, found.labels, classes)),
        "long_tail": False,
        "verb_noun": None,
        "retrieval": None,
        "calibrated": {
            "temperature": 1.83,
            "num_selection_clips": 57,
            "calibration_error_before": 0.1234,
            "calibration_error": 0.0345,
            "negative_log_likelihood_before": 0.5678,
            "negative_log_likelihood": 0.4321,
            "reason": None,
        },
        "frames_in_several_clips": 0.0,
        "comparable_with": None,
        "classes": list(classes),
        "teacher": _teacher(found),
        "student": _student(found),
        "reference": {
            "name": "ViT-B-32-quickgelu",
            "parameters": 86_190_000,
            "bytes_on_disk": 344_800_000,
            "input_size": 224,
            "latency_ratio": 14.0,
            "latency_ms": {"p50_ms": 93.8, "p95_ms": 101.1},
            "throughput_per_s": 12.3,
            "macs": 4_408_000_000,
            "peak_memory_bytes": 355_000_000,
        },
        "comparison": {
            "accuracy_drop_points": 2.94,
            "accuracy_drop_interval": [1.21, 4.83],
            "map_drop_points": None,
            "map_drop_interval": None,
            "compression": 66.3,
            "agreement": 0.8125,
            "agreement_top5": 0.9375,
            "agreement_interval": [0.7123, 0.9045],
            "kl_divergence": 0.4567,
            "embedding_cosine": 0.8765,
            "latency_ratio": 13.4,
        },
        "per_class": _per_class(found, classes),
        "confusion": {"teacher": _confusion(found.teacher_logits, found), "student": _confusion(found.logits, found)},
        "environment": {"python": "3.11.9", "load_average": [0.5, 1.25], "device": "cpu", "checkpoint": "best.pt"},
    }


def _teacher(found: Predictions) -> dict:
    return {
        "name": "ViT-B-32",
        "weights": "openai",
        **_accuracies(found.teacher_logits, found.labels, 0.9041, [0.8312, 0.9523], 0.0456),
        "head": "zero-shot",
        "parameters": {"image": 87_850_000, "total": 151_280_000},
        "bytes_on_disk": {"image": 351_400_000, "total": 605_120_000},
        "input_size": 224,
        "latency_ms": {"p50_ms": 88.4, "p95_ms": 97.6},
        "throughput_per_s": 1234.5,
        "macs": 4_410_000_000,
        "peak_memory_bytes": 811_000_000,
    }


def _student(found: Predictions) -> dict:
    return {
        "size": "xxs",
        **_accuracies(found.logits, found.labels, 0.8747, [0.7934, 0.9317], 0.1234),
        "zero_shot_top1": 0.8127,
        "parameters": {"deployed": 1_325_000, "training": 1_455_000, "backbone": 951_000, "projection": 374_000},
        "bytes_on_disk": {"image": 5_310_000, "total": 5_820_000},
        "input_size": 192,
        "latency_ms": {"p50_ms": 6.7, "p95_ms": 7.9},
        "throughput_per_s": 4321.1,
        "macs": 293_000_000,
        "peak_memory_bytes": 93_600_000,
    }


def _accuracies(logits: np.ndarray, labels: np.ndarray, top1: float, interval: list[float], error: float) -> dict:
    """reliability: of the predictions, in five bins; the rest as given."""
    confidence, right = np.exp(accuracy.log_softmax(logits).max(1)), logits.argmax(1) == labels
    place = np.minimum((confidence * 5).astype(int), 4)
    bins = [
        {"confidence": float(confidence[m].mean()), "accuracy": float(right[m].mean()), "clips": int(m.sum())}
        for m in (place == number for number in np.unique(place))
    ]
    top5, by_class = top1 + 0.0311, top1 - 0.0222
    return {
        "top1": top1,
        "top5": top5,
        "mean_class_accuracy": by_class,
        "top1_interval": interval,
        "mean_class_interval": [by_class - 0.1, by_class + 0.01],
        **NO_PRECISION,
        "calibration_error": error,
        "reliability": bins,
    }


def _per_class(found: Predictions, classes: tuple[str, ...]) -> list[dict]:
    teacher = accuracy.class_accuracies(found.teacher_logits, found.labels)
    student = accuracy.class_accuracies(found.logits, found.labels)
    return [
        {"class": classes[c], "clips": clips, "top1": top1, "teacher_top1": teacher[c][1], **NO_CLASS_PRECISION}
        for c, (clips, top1) in student.items()
    ]


def _confusion(logits: np.ndarray, found: Predictions) -> list[list[int]]:
    labeled = found.labels >= 0
    pairs = np.stack([found.labels[labeled], logits[labeled].argmax(1)], axis=1)
    values, counts = np.unique(pairs, axis=0, return_counts=True)
    return [[int(true), int(said), int(clips)] for (true, said), clips in zip(values, counts, strict=True)]
