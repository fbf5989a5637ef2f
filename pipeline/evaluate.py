"""Stage three: a student beside its teacher on held-out clips. The teacher is only what the cache says of it.

Knows the order of things; figures, timing and drawing live elsewhere.
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
from pipeline import checkpoint
from pipeline.config import EvaluateConfig
from pipeline.dataset import ClipDataset, Sampling
from pipeline.errors import CheckpointError, InputError
from pipeline.inference import predict
from pipeline.latency import measure_interleaved, synchronizer
from pipeline.plots import comparison_plot
from pipeline.results import assemble, predictions_file
from pipeline.results_schema import PREDICTIONS_NAME, RESULTS_NAME
from pipeline.uids import recording_of

log = logging.getLogger(__name__)


def evaluate(
    config: EvaluateConfig, teacher_forward: Callable[[], object] | None = None, student_size: str | None = None
) -> dict:
    """Evaluate a checkpoint; returns what evaluation_results.json holds, written beside predictions and a plot.

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
    _warn_of_missing_labels(predictions.labels, labels, config.split)
    text = (reader.head(labels.name) or {}).get("class_text")
    costs = _costs(student, device, teacher_forward)
    results = assemble(predictions, dataset.clips, labels, text, reader.identity.teacher, _facts(student), costs)
    results |= {"split": config.split, "environment": _environment(config, device)}
    commit.make_folder(config.output_dir)
    files = {
        "evaluate_config.yaml": config.as_yaml().encode(),
        PREDICTIONS_NAME: predictions_file(predictions, dataset.clips, labels.classes),
        "comparison_plot.png": comparison_plot(results),
        RESULTS_NAME: json.dumps(results, indent=2, allow_nan=False).encode(),  # last: what it speaks of is there
    }
    for name, data in files.items():
        commit.replace(config.output_dir / name, data)
    return results


def _warn_of_missing_labels(found: np.ndarray, labels: LabelSet, split: str) -> None:
    if not (found >= 0).any():
        log.warning(
            "none of the %d %s clips of label set %r has a label: accuracy and calibration have no value here, and "
            "what compares the student with its teacher is of all clips",
            len(found),
            split,
            labels.name,
        )


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


def _facts(student: MobileVitStudent) -> dict:
    """What the results say of a student besides its figures."""
    counted = count_parameters(student)
    num_bytes = sum(t.numel() * t.element_size() for t in student.state_dict().values())
    trained = sum(parameter.numel() for parameter in student.parameters())
    return {
        "size": student.config.size,
        "parameters": {"deployed": counted.pop("deployed"), "training": trained, **counted},
        "bytes_on_disk": {"image": num_bytes, "total": num_bytes},
        "input_size": student.config.resolution,
    }


def _costs(student: MobileVitStudent, device, teacher_forward) -> dict[str, dict]:
    """What teacher and student cost to run, by side; None for what is not measured."""
    times = _latencies(student, device, teacher_forward)
    not_measured = {"throughput_per_s": None, "macs": None, "peak_memory_bytes": None}
    return {side: {"latency_ms": times.get(side), **not_measured} for side in ("teacher", "student")}


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
