"""Evaluate a student: compare it with its teacher, from the cached outputs of the teacher, on held-out clips."""

import json
import logging
import os
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from embedonce.cache import commit
from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.labels import LabelSet
from embedonce.cache.ledger import temporary_ledger
from embedonce.cache.reader import CacheReader
from embedonce.models.deploy import FrameEncoder, deployed_parameters
from embedonce.models.device import choose_device, exact_float32
from embedonce.models.folding import treatment
from embedonce.models.names import TEACHER_SIZES
from embedonce.models.student import VideoStudent, count_parameters
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.cache_fit import check_fit
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.checkpoints.student_teachers import embedded_teachers, main_teacher
from embedonce.pipeline.clips.inference import Predictions, among_classes, predict, require_finite
from embedonce.pipeline.clips.open_cache import open_cache
from embedonce.pipeline.evaluation.calibration import calibrate, calibrated
from embedonce.pipeline.evaluation.comparability import comparable_with, shared_frames
from embedonce.pipeline.evaluation.costs import NOT_MEASURED, TimedModel, measure, size_of
from embedonce.pipeline.evaluation.held_out import held_out
from embedonce.pipeline.evaluation.inputs import evaluated_inputs
from embedonce.pipeline.evaluation.output_files import EVALUATE_SETTINGS, PLOT_NAME, REPORT_NAME, check_evaluation
from embedonce.pipeline.evaluation.predictions_file import predictions_file
from embedonce.pipeline.evaluation.results import MeasuredCosts, StudentFacts, assemble
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.evaluation.text_retrieval import text_retrieval
from embedonce.pipeline.evaluation.verb_noun import verb_noun_accuracy
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.files.recognition import sealed
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME
from embedonce.pipeline.metrics.results_schema import (
    PREDICTIONS_NAME,
    RESULTS_NAME,
    Costs,
    EvaluationResults,
    Reference,
    Sizes,
)
from embedonce.pipeline.reporting.html.report import report
from embedonce.pipeline.reporting.plots import evaluation_plot
from embedonce.pipeline.reporting.training_log import read_log
from embedonce.pipeline.runtimes.requirements import ONNX, require

log = logging.getLogger(__name__)

PRECISION = "float32"  # as in frames.fp32.onnx and frames.pte; smaller formats are evaluated by their export


@dataclass(frozen=True)
class _Evaluated:
    """A student, its checkpoint, and what it is evaluated on."""

    student: VideoStudent
    meta: Checkpoint
    reader: CacheReader
    labels: LabelSet


def evaluate(
    config: EvaluateConfig, encoders: dict[str, TimedModel] | None = None, student_size: str | None = None
) -> EvaluationResults:
    """Evaluate a checkpoint; write the results, the predictions, a plot and a report.

    encoders: image encoders to time in turns with the student: "teacher", and "reference" if that is another one.
    student_size: the size that the checkpoint must have.
    """
    if config.runtime == "onnx":
        require(ONNX, "--runtime onnx")
    reader = open_cache(config)
    student, meta = checkpoint.load_student(config.student_checkpoint)
    labels = reader.label_set(config.label_set)
    _, teacher = main_teacher(meta, reader)
    check_fit(config.student_checkpoint, meta, teacher, labels, student_size, some_classes=True)
    commit.check_writable(config.output_dir)
    with sole_writer(config.output_dir, "evaluate"), temporary_ledger(config.output_dir) as ledger:
        reader.share_ledger(ledger)  # of the loader processes and this one
        check_evaluation(config)
        results, files = _evaluate(config, _Evaluated(student, meta, reader, labels), encoders or {})
        check_evaluation(config)  # other files may have appeared meanwhile
        commit.remove(config.output_dir / RESULTS_NAME)  # of an earlier evaluation
        for name, data in files.items():
            commit.replace(config.output_dir / name, data)
    return results


def _evaluate(
    config: EvaluateConfig, subject: _Evaluated, encoders: dict[str, TimedModel]
) -> tuple[EvaluationResults, dict[str, bytes]]:
    """The results, and the content of all files by name."""
    student, meta, reader, labels = subject.student, subject.meta, subject.reader, subject.labels
    device = choose_device(config.device)
    main, *others = embedded_teachers(meta, reader)
    dataset = held_out(config, meta, reader, labels, (main, *others))
    log.info("evaluating %d %s clips", len(dataset), config.split)
    predictions = predict(student.to(device), dataset, config.batch_size, config.num_workers, device)
    require_finite(predictions, config.student_checkpoint)
    predictions = among_classes(predictions, meta.classes, labels.classes)
    _warn_of_missing_labels(predictions.labeled, labels, config.split)
    _log_teachers(main, predictions)
    class_text = (reader.head(labels.name) or {}).get("class_text") if main == FIRST else None
    with exact_float32():
        models = _models_to_time(student, device, encoders, config.runtime)
        costs = _measure_costs(models, device, config.runtime)
    facts, teacher = _student_facts(student), reader.identity.teacher
    results = assemble(predictions, dataset.clips, labels, class_text, teacher, facts, costs, config.split)
    results = replace(
        results,
        note=_with_remark(_note(results.note, len(meta.classes), len(labels.classes)), _other_space(main)),
        verb_noun=verb_noun_accuracy(reader, labels, dataset.clips, predictions) if main == FIRST else None,
        retrieval=text_retrieval(reader, labels, dataset.clips, predictions, config.seed) if main == FIRST else None,
        frames_in_several_clips=shared_frames(reader, dataset.clips),
        comparable_with=comparable_with(labels, config.split),
        calibrated=calibrated(predictions, labels, meta, config.split),
        environment=_environment(config, device)
        | {"timed": {n: treatment(m.module) for n, m in models.items()}}
        | evaluated_inputs(config, dataset),
    )
    digest = commit.sha256(config.student_checkpoint.read_bytes())
    calibration = calibrate(predictions, dataset.clips, labels, meta.classes, config.split, digest)
    page = report(results, predictions, dataset, read_log(config.student_checkpoint.parent))
    return results, {
        EVALUATE_SETTINGS: config.as_yaml().encode(),
        PREDICTIONS_NAME: predictions_file(predictions, dataset.clips, labels.classes),
        PLOT_NAME: sealed(evaluation_plot(results), "evaluate"),
        REPORT_NAME: sealed(page, "evaluate"),
        **({} if calibration is None else {CALIBRATION_NAME: calibration.as_json()}),
        # last: when it exists, the other files do
        RESULTS_NAME: json.dumps(results.as_dict(), indent=2, allow_nan=False).encode(),
    }


def _note(note: str | None, known: int, evaluated: int) -> str | None:
    """The note, with a remark if the student knows more classes than the label set has."""
    if known == evaluated:
        return note
    remark = (
        f"the student has {known} classes and this label set {evaluated}: student and teacher choose among those "
        f"{evaluated}"
    )
    log.warning("%s", remark)
    return _with_remark(note, remark)


def _with_remark(note: str | None, remark: str | None) -> str | None:
    return "; ".join(filter(None, (note, remark))) or None


def _other_space(main: str) -> str | None:
    """A remark about what is not available for a student that was not trained from the teacher of the cache."""
    if main == FIRST:
        return None
    remark = (
        f"the student was trained in the space of the added teacher {main}: cosines are with its embeddings, agreement "
        "and divergence with the logits of the cache's teacher, and figures from texts of the classes are not available"
    )
    log.warning("%s", remark)
    return remark


def _log_teachers(main: str, predictions: Predictions) -> None:
    """Log how near the student is to each of its teachers, if it has several."""
    if predictions.added_cosines:
        cosines = {main: predictions.cosine} | dict(predictions.added_cosines)
        listed = ", ".join(f"{name} {value:.4f}" for name, value in cosines.items())
        log.info("mean cosine with each teacher: %s", listed)


def _warn_of_missing_labels(labeled: np.ndarray, labels: LabelSet, split: str) -> None:
    """labeled (N,): whether each clip has a label."""
    if not labeled.any():
        log.warning(
            "none of the %d %s clips of label set %r has a label: accuracy and calibration are not available; "
            "agreement, divergence and cosine are over all clips",
            len(labeled),
            split,
            labels.name,
        )


def _student_facts(student: VideoStudent) -> StudentFacts:
    num_bytes = sum(t.numel() * t.element_size() for t in student.state_dict().values())
    return StudentFacts(
        size=student.config.size,
        parameters={"deployed": deployed_parameters(student), **count_parameters(student)},
        bytes_on_disk=Sizes(image=num_bytes, total=num_bytes),
        input_size=student.config.resolution,
    )


def _models_to_time(
    student: VideoStudent, device: torch.device, encoders: dict[str, TimedModel], runtime: str
) -> dict[str, TimedModel]:
    """The student's and the other image encoders, each with one image."""
    timed_on = _timing_device(device, runtime)
    size = student.config.resolution
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=timed_on)
    return {"student": TimedModel(FrameEncoder(student).eval().to(timed_on), image)} | encoders


def _timing_device(device: torch.device, runtime: str) -> torch.device:
    return torch.device("cpu") if runtime == "onnx" else device


def _measure_costs(models: dict[str, TimedModel], device: torch.device, runtime: str) -> MeasuredCosts:
    """Time all models in turns."""
    costs = measure(models, _timing_device(device, runtime), runtime)
    reference = _reference(models["reference"], costs) if "reference" in models else None
    return MeasuredCosts(costs.get("teacher", NOT_MEASURED), costs["student"], reference)


def _reference(encoder: TimedModel, costs: dict[str, Costs]) -> Reference:
    """The costs of CLIP's ViT-B/32, as a reference in addition to the teacher's."""
    measured, student = costs["reference"], costs["student"]
    assert measured.latency_ms and student.latency_ms  # measure() has just timed both
    stored = encoder.stored or size_of(encoder.module)
    return Reference(
        name=TEACHER_SIZES["base"],
        parameters=stored["parameters"],
        bytes_on_disk=stored["bytes_on_disk"],
        input_size=encoder.image.shape[-1],
        latency_ratio=measured.latency_ms.p50_ms / student.latency_ms.p50_ms,
        **vars(measured),
    )


def _environment(config: EvaluateConfig, device: torch.device) -> dict[str, Any]:
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
        "device": str(_timing_device(device, config.runtime)),
        "checkpoint": Path(config.student_checkpoint).name,
    }
