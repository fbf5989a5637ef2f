"""Stage three: a student beside its teacher on held-out clips. The teacher is only what the cache says of it.

Knows the order of things; figures, timing and drawing live elsewhere.
"""

import json
import logging
import os
import platform
from pathlib import Path

import numpy as np
import torch

from embedonce.cache import commit
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.models.deploy import FrameEncoder, deployed_parameters
from embedonce.models.device import choose_device, exact_float32
from embedonce.models.folding import treatment
from embedonce.models.names import TEACHER_SIZES
from embedonce.models.student import VideoStudent, count_parameters
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.clips.inference import among_classes, predict, require_finite
from embedonce.pipeline.evaluation.comparability import comparable_with, shared_frames
from embedonce.pipeline.evaluation.costs import NOT_MEASURED, TimedModel, measure, size_of
from embedonce.pipeline.evaluation.held_out import held_out
from embedonce.pipeline.evaluation.output_files import EVALUATE_SETTINGS, PLOT_NAME, REPORT_NAME, check_evaluation
from embedonce.pipeline.evaluation.results import assemble, predictions_file
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.evaluation.verb_noun import verb_noun_accuracy
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.files.recognition import sealed
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME
from embedonce.pipeline.reporting.html.report import report
from embedonce.pipeline.reporting.plots import comparison_plot
from embedonce.pipeline.reporting.training_log import read_log
from embedonce.pipeline.runtimes.requirements import ONNX, require

log = logging.getLogger(__name__)

PRECISION = "float32"  # as frames.fp32.onnx and frames.pte compute; smaller formats are judged by their export


def evaluate(
    config: EvaluateConfig, towers: dict[str, TimedModel] | None = None, student_size: str | None = None
) -> dict:
    """Evaluate a checkpoint; returns what evaluation_results.json holds, written beside predictions, plot and report.

    towers: image towers to cost in turns with the student: "teacher", and "reference" where that is another one.
    student_size: what the user asserts the checkpoint to be.
    """
    if config.runtime == "onnx":
        require(ONNX, "--runtime onnx")
    reader = open_reader(config.cache_dir)
    student, meta = checkpoint.load_student(config.student_checkpoint)
    labels = reader.label_set(config.label_set)
    teacher = reader.identity.teacher
    checkpoint.check_fit(config.student_checkpoint, meta, teacher, labels, student_size, some_classes=True)
    commit.check_writable(config.output_dir)
    with sole_writer(config.output_dir, "evaluate"):
        check_evaluation(config)
        results, files = _judged(config, reader, labels, (student, meta), towers or {})
        check_evaluation(config)  # nobody has put anything there meanwhile
        commit.remove(config.output_dir / RESULTS_NAME)  # of an earlier evaluation
        for name, data in files.items():
            commit.replace(config.output_dir / name, data)
    return results


def _judged(
    config: EvaluateConfig, reader: CacheReader, labels: LabelSet, judged: tuple[VideoStudent, Checkpoint], towers: dict
) -> tuple[dict, dict[str, bytes]]:
    """The results, and all files by name. judged: the student and its checkpoint."""
    (student, meta), teacher = judged, reader.identity.teacher
    device = choose_device(config.device)
    dataset = held_out(config, meta, reader, labels)
    log.info("evaluating %d %s clips", len(dataset), config.split)
    predictions = predict(student.to(device), dataset, config.batch_size, config.num_workers, device)
    require_finite(predictions, config.student_checkpoint)
    predictions = among_classes(predictions, meta.classes, labels.classes)
    _warn_of_missing_labels(predictions.labels, labels, config.split)
    text = (reader.head(labels.name) or {}).get("class_text")
    with exact_float32():
        sides = _sides(student, device, towers, config.runtime)
        costs = _costs(sides, device, config.runtime)
    timed = {name: treatment(side.module) for name, side in sides.items()}
    results = assemble(predictions, dataset.clips, labels, text, teacher, _facts(student), costs)
    results["note"] = _note(results["note"], len(meta.classes), len(labels.classes))
    results["verb_noun"] = verb_noun_accuracy(reader, labels, dataset.clips, predictions)
    results["frames_in_several_clips"] = shared_frames(reader, dataset.clips)
    results["comparable_with"] = comparable_with(labels, config.split)
    results |= {"split": config.split, "environment": _environment(config, device) | {"timed": timed}}
    page = report(results, predictions, dataset, read_log(config.student_checkpoint.parent))
    return results, {
        EVALUATE_SETTINGS: config.as_yaml().encode(),
        PREDICTIONS_NAME: predictions_file(predictions, dataset.clips, labels.classes),
        PLOT_NAME: sealed(comparison_plot(results), "evaluate"),
        REPORT_NAME: sealed(page, "evaluate"),
        RESULTS_NAME: json.dumps(results, indent=2, allow_nan=False).encode(),  # last: what it speaks of is there
    }


def _note(note: str | None, known: int, judged: int) -> str | None:
    """With a remark where the student knows more classes than it is judged on."""
    if known == judged:
        return note
    remark = f"the student knows {known} classes: both sides choose among the {judged} of this label set"
    log.warning("%s", remark)
    return f"{note}; {remark}" if note else remark


def _warn_of_missing_labels(found: np.ndarray, labels: LabelSet, split: str) -> None:
    if not (found >= 0).any():
        log.warning(
            "none of the %d %s clips of label set %r has a label: accuracy and calibration have no value here, and "
            "what compares the student with its teacher is of all clips",
            len(found),
            split,
            labels.name,
        )


def _facts(student: VideoStudent) -> dict:
    """What the results say of a student besides its figures."""
    counted = count_parameters(student)
    num_bytes = sum(t.numel() * t.element_size() for t in student.state_dict().values())
    return {
        "size": student.config.size,
        "parameters": {"deployed": deployed_parameters(student), **counted},
        "bytes_on_disk": {"image": num_bytes, "total": num_bytes},
        "input_size": student.config.resolution,
    }


def _sides(student: VideoStudent, device, towers: dict[str, TimedModel], runtime: str) -> dict[str, TimedModel]:
    """What is timed: one image to one embedding."""
    place = torch.device("cpu") if runtime == "onnx" else device
    size = student.config.resolution
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=place)
    return {"student": TimedModel(FrameEncoder(student).eval().to(place), image)} | towers


def _costs(sides: dict[str, TimedModel], device, runtime: str) -> dict[str, dict]:
    """What each side costs to run, in turns; None for what is not measured."""
    place = torch.device("cpu") if runtime == "onnx" else device
    costs = {"teacher": NOT_MEASURED} | measure(sides, place, runtime)
    if "reference" in costs:
        costs["reference"] = _reference(sides["reference"], costs)
    return costs


def _reference(tower: TimedModel, costs: dict[str, dict]) -> dict:
    """What CLIP's ViT-B/32 would cost, where the teacher is another one: it said nothing of these clips."""
    ratio = costs["reference"]["latency_ms"]["p50_ms"] / costs["student"]["latency_ms"]["p50_ms"]
    facts = {"name": TEACHER_SIZES["base"], "input_size": tower.image.shape[-1], "latency_ratio": ratio}
    return facts | (tower.stored or size_of(tower.module)) | costs["reference"]


def _environment(config: EvaluateConfig, device) -> dict:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "precision": PRECISION,
        "runtime": config.runtime,
        "threads": torch.get_num_threads(),
        "load_average": list(os.getloadavg()),
        "judged_on": str(device),
        "device": "cpu" if config.runtime == "onnx" else str(device),
        "checkpoint": Path(config.student_checkpoint).name,
    }
