"""A student in formats that devices load: made, run at once beside PyTorch on cached frames, published whole or not.

Knows the order of things; formats, limits and words live elsewhere.
"""

import copy
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from embedonce.cache import commit
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.models.student import VideoStudent
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions, predict, require_finite
from embedonce.pipeline.evaluation.held_out import held_out
from embedonce.pipeline.export.card import Judged, model_card
from embedonce.pipeline.export.facts import clip_seconds, facts_of, timm_config
from embedonce.pipeline.export.folder import MARK, check_folder, publish
from embedonce.pipeline.export.formats import FORMATS, Exported, ExportInputs, check_runtimes
from embedonce.pipeline.export.parity import Parity, check, compared
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.runtimes.requirements import explained

log = logging.getLogger(__name__)

BATCH = 16


@dataclass(frozen=True)
class Export:
    """What came of it: files by name, and each format's figures."""

    folder: Path
    num_bytes: dict[str, int]
    parity: dict[str, Parity]


def export(config: ExportConfig) -> Export:
    """Export a student; the folder appears when every format agrees with PyTorch, or not at all."""
    check_runtimes(config.format_names)
    folder = config.output_dir.resolve()
    check_folder(folder, config.overwrite)
    reader = open_reader(config.cache_dir)
    student, meta = checkpoint.load_student(config.student_checkpoint)
    labels = reader.label_set(config.label_set)
    checkpoint.check_fit(config.student_checkpoint, meta, reader.identity.teacher, labels)
    commit.check_writable(folder.parent)  # where the new folder is made before it takes its place
    clips = held_out(config.judged_on(config.split, config.num_samples), meta, reader, labels)
    facts = facts_of(meta, reader.identity, clip_seconds(labels))
    calibration, calibrated_on = _calibration(config, meta, reader, labels)
    source = ExportInputs.of(student, facts, calibration)
    log.info("comparing on %d %s clips", len(clips), config.split)
    trained = _predicted(student, clips)
    require_finite(trained, config.student_checkpoint)
    in_double = _predicted(copy.deepcopy(student).double(), clips)
    files, parity = _made(config.format_names, source, (trained, in_double), clips)
    files |= weights_of(student, meta, facts)
    sizes = {name: len(data) for name, data in files.items()}
    teacher_top1 = accuracy.top_k_accuracy(trained.teacher_logits, trained.labels, 1)
    judged = Judged(labels.name, config.split, calibrated_on, trained.top1, teacher_top1)
    files["README.md"] = model_card(facts, judged, sizes, parity).encode()
    files["parity.json"] = json.dumps({name: found.as_dict() for name, found in parity.items()}, indent=2).encode()
    files[MARK] = config.as_yaml().encode()
    publish(folder, files, config.overwrite)
    return Export(config.output_dir, sizes, parity)


def _predicted(student: torch.nn.Module, clips: ClipDataset) -> Predictions:
    return predict(student, clips, BATCH, 0, torch.device("cpu"))


def _made(
    names: tuple[str, ...], source: ExportInputs, expected: tuple[Predictions, Predictions], clips: ClipDataset
) -> tuple[dict[str, bytes], dict[str, Parity]]:
    """Bytes by file name and figures by format. DivergedError where one says something else than PyTorch.

    expected: what the trained student says, and what it says in double precision.
    """
    files, parity = {}, {}
    for name in names:
        log.info("%s: making it, and running it beside PyTorch", name)
        with explained(f"the {name} export failed, and nothing was written", "leave it out with --formats"):
            made = FORMATS[name].make(source)
            exported = _predicted(Exported(*FORMATS[name].opened(made)), clips)
        parity[name] = compared(exported, *expected)
        check(name, parity[name], FORMATS[name].limits)
        files |= made
    return files, parity


def _calibration(config: ExportConfig, meta: Checkpoint, reader: CacheReader, labels) -> tuple[np.ndarray, str]:
    """(N, 3, R, R) uint8 frames of training clips, or of the judged ones where none of those is cached; their split."""
    count = math.ceil(config.calibration_frames / meta.frames_per_clip)
    cached = set(reader.video_uids)
    is_there = any(clip.split == "train" and clip.video_uid in cached for clip in labels.clips)
    split = "train" if is_there else config.split
    clips = held_out(config.judged_on(split, count), meta, reader, labels)
    frames = [item["frames"][item["mask"]] for item in (clips[i] for i in range(len(clips)))]
    return torch.cat(frames)[: config.calibration_frames].numpy(), split


def weights_of(student: VideoStudent, meta: Checkpoint, facts: dict) -> dict[str, bytes]:
    """The backbone as timm loads it, and the parts on top of it."""
    backbone = student.backbone.state_dict()
    rest = {name: t for name, t in student.state_dict().items() if not name.startswith("backbone.")}
    statistics = [value.flatten().tolist() for value in (student.mean, student.std)]
    known = getattr(student.backbone, "pretrained_cfg", None) or {}  # `tiny` has none
    config = timm_config(meta.student, known | {"num_features": student.backbone.num_features}, *statistics, facts)
    packed = {name: {k: t.contiguous() for k, t in part.items()} for name, part in
              (("model.safetensors", backbone), ("student_parts.safetensors", rest))}  # fmt: skip
    return {"config.json": json.dumps(config, indent=2).encode()} | {
        name: safetensors.torch.save(part, {"format": "pt"}) for name, part in packed.items()
    }
