"""Stage three: a student beside its teacher on held-out clips. The teacher is only what the cache says of it.

Knows the order of things and the keys of evaluation_results.json; metrics, timing and drawing live elsewhere.
"""

import json
import logging
import os
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cache import commit
from cache.labels import ClipLabel, LabelSet
from cache.reader import CacheReader
from cache.store import open_reader
from models.device import choose_device
from models.mobilevit_student import MobileVitStudent, count_parameters
from pipeline import checkpoint, metrics
from pipeline.config import EvaluateConfig
from pipeline.dataset import ClipDataset, Sampling
from pipeline.errors import CheckpointError, InputError
from pipeline.html_report.report import write_report
from pipeline.inference import Predictions, predict
from pipeline.latency import measure_interleaved, synchronizer
from pipeline.report import comparison_plot
from pipeline.training_log import read_log
from pipeline.uids import recording_of

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
RANDOM_TEACHER_NOTE = "random teacher: this exercises the machinery"


def evaluate(
    config: EvaluateConfig, teacher_forward: Callable[[], object] | None = None, student_size: str | None = None
) -> dict:
    """Evaluate a checkpoint; writes evaluation_results.json, which it returns, comparison_plot.png and report.html.

    teacher_forward: one image through a teacher, timed in turns with the student. student_size: what the user
    asserts the checkpoint to be.
    """
    reader = open_reader(config.cache_dir)
    student, meta = checkpoint.load_student(config.student_checkpoint)
    labels = reader.label_set(config.label_set)
    checkpoint.check_fit(config.student_checkpoint, meta, reader.identity.teacher, labels, student_size)
    commit.check_writable(config.output_dir)
    device = choose_device(config.device)
    dataset = held_out(config, meta, reader, labels)
    log.info("evaluating %d %s clips", len(dataset), config.split)
    predictions = predict(student.to(device), dataset, config.batch_size, config.num_workers, device)
    if not predictions.is_finite:
        raise CheckpointError(
            f"{config.student_checkpoint} answers with values that are no numbers: its training went astray; train "
            "again with a lower --lr"
        )
    times = _latencies(student, device, teacher_forward)
    results = assemble(predictions, labels, reader, student, times)
    results["environment"] = _environment(config, device)
    results["split"] = config.split
    commit.make_folder(config.output_dir)
    commit.replace(config.output_dir / "evaluate_config.yaml", config.as_yaml().encode())
    commit.replace(config.output_dir / "comparison_plot.png", comparison_plot(results))
    commit.replace(
        config.output_dir / "evaluation_results.json", json.dumps(results, indent=2, allow_nan=False).encode()
    )
    log_text = read_log(Path(config.student_checkpoint).parent)
    write_report(config.output_dir / "report.html", results, predictions, dataset, log_text)
    return results


def held_out(config: EvaluateConfig, meta: dict, reader: CacheReader, labels: LabelSet) -> ClipDataset:
    """The clips to judge by. InputError where there is none."""
    clips = [clip for clip in labels.clips if clip.split == config.split]
    if config.split != "train" and meta.get("label_set") != labels.name:
        clips = _not_trained_on(clips, meta.get("label_set"), reader)
    sampling = Sampling(meta["frames_per_clip"], meta["student"]["resolution"], random=False, seed=config.seed)
    dataset = ClipDataset(reader, labels, clips, sampling)
    if dataset.num_empty:
        log.warning("%d of %d clips have no frame in the cache and are left out", dataset.num_empty, len(clips))
    if not len(dataset):
        there = {s: sum(clip.split == s for clip in labels.clips) for s in ("train", "val", "test")}
        raise InputError(
            f"--split {config.split} has no clip with a frame in the cache (clips: "
            + ", ".join(f"{count} {name}" for name, count in there.items())
            + "); add videos, or evaluate another split"
        )
    if config.num_samples is not None and config.num_samples < len(dataset):
        kept = np.random.default_rng(config.seed).permutation(len(dataset))[: config.num_samples]
        dataset = ClipDataset(reader, labels, [dataset.clips[i] for i in sorted(kept)], sampling)
    return dataset


def _not_trained_on(clips: list[ClipLabel], trained: str | None, reader: CacheReader) -> list[ClipLabel]:
    """Clips of recordings that the label set which a student was trained on does not train on."""
    if trained not in reader.label_sets():
        log.warning("the student was trained on label set %r, which this cache lacks: videos may be shared", trained)
        return clips
    seen = {recording_of(clip.video_uid) for clip in reader.label_set(trained).clips if clip.split == "train"}
    kept = [clip for clip in clips if recording_of(clip.video_uid) not in seen]
    if len(kept) < len(clips):
        log.warning("%d clips are of videos that label set %r trains on: left out", len(clips) - len(kept), trained)
    return kept


def assemble(found: Predictions, labels: LabelSet, reader: CacheReader, student: MobileVitStudent, times: dict) -> dict:
    """The results as they are written: teacher, student, comparison, per_class. None stands for what has no value."""
    teacher, parameters = reader.identity.teacher, count_parameters(student)
    sides = {
        "teacher": {
            "name": teacher.name,
            "weights": teacher.weights,
            **_accuracies(found.teacher_logits, found.labels),
        },
        "student": {"size": student.config.size, **_accuracies(found.logits, found.labels)},
    }
    sides["teacher"] |= {
        "head": labels.kind,
        "parameters": {"image": teacher.parameters_image, "total": teacher.parameters_total},
        "bytes_on_disk": {"image": teacher.bytes_image, "total": teacher.bytes_total},
        "input_size": teacher.input_size,
        "latency_ms": times.get("teacher"),
    }
    num_bytes = sum(t.numel() * t.element_size() for t in student.state_dict().values())
    sides["student"] |= {
        "parameters": parameters,
        "bytes_on_disk": {"image": num_bytes, "total": num_bytes},
        "input_size": student.config.resolution,
        "latency_ms": times["student"],
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "note": RANDOM_TEACHER_NOTE if teacher.weights == "random" else None,
        **sides,
        "comparison": _comparison(found, sides, times),
        "num_clips": len(found.labels),
        "num_labelled_clips": int((found.labels >= 0).sum()),
        "num_classes": len(labels.classes),
        "chance": 1 / len(labels.classes) if labels.classes else None,
        "per_class": _per_class(found, labels.classes),
    }


def _accuracies(logits: np.ndarray, labels: np.ndarray) -> dict:
    return {
        "top1": metrics.top_k_accuracy(logits, labels, 1),
        "top5": metrics.top_k_accuracy(logits, labels, 5),
        "mean_class_accuracy": metrics.mean_class_accuracy(logits, labels),
    }


def _comparison(found: Predictions, sides: dict, times: dict) -> dict:
    teacher, student = sides["teacher"], sides["student"]
    known = teacher["top1"] is not None and student["top1"] is not None
    timed = times.get("teacher")
    same_classes = found.logits.shape[1] and found.teacher_logits.shape[1]
    return {
        "accuracy_drop_points": 100 * (teacher["top1"] - student["top1"]) if known else None,
        "compression": teacher["parameters"]["image"] / student["parameters"]["deployed"],
        "agreement": metrics.agreement(found.logits, found.teacher_logits) if same_classes else None,
        "agreement_top5": metrics.agreement(found.logits, found.teacher_logits, 5) if same_classes else None,
        "embedding_cosine": found.cosine,
        "latency_ratio": timed["p50_ms"] / times["student"]["p50_ms"] if timed else None,
    }


def _per_class(found: Predictions, classes: tuple[str, ...]) -> list[dict]:
    student = metrics.class_accuracies(found.logits, found.labels)
    teacher = metrics.class_accuracies(found.teacher_logits, found.labels)
    return [
        {"class": classes[c], **facts, "teacher_top1": teacher.get(c, {}).get("top1")} for c, facts in student.items()
    ]


def _latencies(student: MobileVitStudent, device, teacher_forward) -> dict:
    """One frame through each, in turns: batch 1, as on a device."""
    size = student.config.resolution
    frame = torch.zeros(1, 1, 3, size, size, dtype=torch.uint8, device=device)
    inputs = frame, torch.zeros(1, 1, device=device), torch.ones(1, 1, dtype=torch.bool, device=device)

    def student_forward():
        with torch.inference_mode():
            return student(*inputs)

    calls = {"student": student_forward} | ({"teacher": teacher_forward} if teacher_forward else {})
    return measure_interleaved(calls, synchronize=synchronizer(device))


def _environment(config: EvaluateConfig, device) -> dict:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": list(os.getloadavg()),
        "device": str(device),
        "checkpoint": Path(config.student_checkpoint).name,
    }
