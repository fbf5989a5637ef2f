"""Export a student: write each format, compare it with PyTorch on cached frames, and publish all files or none."""

import copy
import json
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from embedonce.cache import commit
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.models.deploy import with_divided_logits
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.cache_fit import check_fit
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.checkpoints.student_teachers import main_teacher
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions, predict, require_finite
from embedonce.pipeline.clips.open_cache import open_cache
from embedonce.pipeline.evaluation.held_out import held_out
from embedonce.pipeline.export.card import CARD_NAME, model_card
from embedonce.pipeline.export.exported_student import ExportedStudent
from embedonce.pipeline.export.facts import HeldOutFacts, facts_of
from embedonce.pipeline.export.folder import MARK, PARITY_NAME, check_folder, publish
from embedonce.pipeline.export.format import ExportFormat, ExportInputs
from embedonce.pipeline.export.parity import Parity, check_parity, measure_parity
from embedonce.pipeline.export.registry import load_format
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.export.source import SOURCE_NAME, source_file
from embedonce.pipeline.export.weights import weight_files
from embedonce.pipeline.frames.preprocessing import clip_seconds
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME, read_calibration
from embedonce.pipeline.runtimes.requirements import as_pipeline_error, require

log = logging.getLogger(__name__)

BATCH = 16


@dataclass(frozen=True)
class Export:
    """What was exported: bytes by file name, and parity by format. next_steps: lines about how to use it."""

    folder: Path
    num_bytes: dict[str, int]
    parity: dict[str, Parity]
    next_steps: tuple[str, ...] = ()


def export(config: ExportConfig) -> Export:
    """Export a student. The folder is published if every format matches PyTorch within its limits, else not at all.

    InputError for settings that cannot be met, CheckpointError for an unusable checkpoint, DivergedError if a format
    does not match PyTorch.
    """
    formats = {name: load_format(name) for name in config.format_names}
    check_runtimes(formats)
    folder = config.output_dir.resolve()
    check_folder(folder, config.overwrite)
    for export_format in formats.values():
        export_format.prepare(config)
    reader = open_cache(config)
    undivided, meta = checkpoint.load_student(config.student_checkpoint)
    student = with_divided_logits(undivided, meta.temperature)  # everything that follows is of this one
    labels = reader.label_set(config.label_set)
    check_fit(config.student_checkpoint, meta, main_teacher(meta, reader)[1], labels)
    commit.check_writable(folder.parent)  # the new folder is written there before it is renamed
    clips = held_out(config.evaluation_settings(config.split, config.num_samples), meta, reader, labels)
    digest = commit.sha256(config.student_checkpoint.read_bytes())
    facts = facts_of(meta, reader.identity, clip_seconds(labels), labels.multi_label, digest)
    calibration_frames, calibration_split = _calibration(config, meta, reader, labels)
    inputs = ExportInputs.of(student, facts, calibration_frames)
    log.info("comparing on %d %s clips", len(clips), config.split)
    if labels.multi_label:
        log.warning(
            "clips of label set %r have several labels: files are compared without accuracies; the probability of a "
            "class is the sigmoid of its logit",
            labels.name,
        )
    trained = _predicted(student, clips)
    require_finite(trained, config.student_checkpoint)
    in_double = _predicted(copy.deepcopy(student).double(), clips)
    files, parity = _write_formats(formats, inputs, (trained, in_double), clips)
    files |= weight_files(student, facts)
    sizes = {name: len(data) for name, data in files.items()}
    teacher_top1 = accuracy.top_k_accuracy(trained.teacher_logits, trained.labels, 1)
    clip_facts = HeldOutFacts(labels.name, config.split, calibration_split, trained.top1, teacher_top1)
    files[PARITY_NAME] = json.dumps({name: figures.as_dict() for name, figures in parity.items()}, indent=2).encode()
    files |= copied_calibration(config.student_checkpoint.parent / CALIBRATION_NAME, digest)
    files[SOURCE_NAME] = source_file(config, files)
    files[CARD_NAME] = model_card(facts, clip_facts, sizes, parity, formats).encode()  # may be edited
    files[MARK] = config.as_yaml().encode()
    publish(folder, files, config.overwrite)
    steps = (line for export_format in formats.values() for line in export_format.next_steps(config.output_dir))
    return Export(config.output_dir, sizes, parity, tuple(steps))


def check_runtimes(formats: dict[str, ExportFormat]) -> None:
    """InputError if a library that writes or runs one of these formats is not installed."""
    for name, export_format in formats.items():
        if export_format.requirement is not None:
            require(export_format.requirement, f"--formats {name}")


def _predicted(student: torch.nn.Module, clips: ClipDataset) -> Predictions:
    return predict(student, clips, BATCH, 0, torch.device("cpu"))


def _write_formats(
    formats: dict[str, ExportFormat],
    inputs: ExportInputs,
    expected: tuple[Predictions, Predictions],
    clips: ClipDataset,
) -> tuple[dict[str, bytes], dict[str, Parity]]:
    """Content by file name and parity by format. DivergedError if a format differs from PyTorch beyond its limits.

    expected: predictions of the trained student, and its predictions in double precision.
    """
    files: dict[str, bytes] = {}
    parity: dict[str, Parity] = {}
    for name, export_format in formats.items():
        log.info("%s: exporting, and comparing with PyTorch", name)
        with as_pipeline_error(f"the {name} export failed, and nothing was written", "leave it out with --formats"):
            written = export_format.write(inputs)
            exported = _predicted(ExportedStudent(export_format.load(written)), clips)
        parity[name] = replace(measure_parity(exported, *expected), evaluated_by=export_format.evaluated_by)
        check_parity(name, parity[name], export_format.limits.for_temperature(inputs.facts.temperature))
        files |= written
    return files, parity


def copied_calibration(path: Path, digest: str) -> dict[str, bytes]:
    """The file with the temperature and thresholds that evaluate fitted to this checkpoint, if there is one."""
    if not path.exists():
        return {}
    calibration = read_calibration(path)
    if calibration.checkpoint_sha256 != digest:
        log.warning("%s is the calibration of another checkpoint and is not copied; evaluate this one again", path)
        return {}
    return {CALIBRATION_NAME: calibration.as_json()}


def _calibration(
    config: ExportConfig, meta: Checkpoint, reader: CacheReader, labels: LabelSet
) -> tuple[np.ndarray, str]:
    """Frames to calibrate 8-bit ranges on, (N, 3, R, R) uint8, and their split.

    They are of training clips, or of the compared clips if no training clip is cached.
    """
    count = math.ceil(config.calibration_frames / meta.frames_per_clip)
    cached = set(reader.video_uids)
    has_training = any(clip.split == "train" and clip.video_uid in cached for clip in labels.clips)
    split = "train" if has_training else config.split
    clips = held_out(config.evaluation_settings(split, count), meta, reader, labels)
    frames = [item["frames"][item["mask"]] for item in (clips[i] for i in range(len(clips)))]
    return torch.cat(frames)[: config.calibration_frames].numpy(), split
