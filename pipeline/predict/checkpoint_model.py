"""A student of a checkpoint, run by PyTorch. Imports torch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from embedonce.cache import commit
from embedonce.cache.store import open_reader
from embedonce.models.deploy import ClipHead, FrameEncoder, with_divided_logits
from embedonce.models.device import choose_device, exact_float32
from embedonce.models.student import VideoStudent
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint, load_student
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.frames.preprocessing import clip_seconds, preprocessing_of
from embedonce.pipeline.predict.model import Model, ModelFacts


class CheckpointModel(Model):
    """The deployed form of a student: normalizations folded, logits divided, in float32 on any device."""

    def __init__(self, student: VideoStudent, facts: ModelFacts, device: torch.device):
        self.facts, self._device = facts, device
        self._encoder = FrameEncoder(student).eval().to(device)
        self._head = ClipHead(with_divided_logits(student, facts.temperature)).eval().to(device)

    @torch.inference_mode()
    def encode(self, frames: np.ndarray) -> np.ndarray:
        with exact_float32():
            features, _ = self._encoder(torch.from_numpy(np.ascontiguousarray(frames)).to(self._device))
        return features.float().cpu().numpy()

    @torch.inference_mode()
    def classify(self, features: np.ndarray, t_rel_sec: np.ndarray) -> np.ndarray:
        inputs = torch.from_numpy(features)[None], torch.from_numpy(t_rel_sec.astype(np.float32))[None]
        mask = torch.ones(inputs[1].shape, dtype=torch.bool)
        with exact_float32():
            _, logits = self._head(*(tensor.to(self._device) for tensor in (*inputs, mask)))
        return logits[0].float().cpu().numpy()


def checkpoint_model(path: Path, cache_dir: Path | str | None, device: str) -> CheckpointModel:
    """The student of a checkpoint file. CheckpointError if it is missing, damaged or of another version.

    cache_dir: the cache that it was trained from, which checkpoints of earlier versions need.
    """
    student, meta = load_student(path)
    if cache_dir is not None:
        meta = _with_preparation_of(path, meta, cache_dir)
    if meta.preprocessing is None:
        raise InputError(
            f"{path} was trained by an earlier version, which did not record how frames were prepared: give the cache "
            "that it was trained from with --cache-dir"
        )
    if meta.preprocessing.resolution != meta.student.resolution:
        raise CheckpointError(f"{path} is not a student checkpoint: it has two resolutions")
    digest = commit.sha256(path.read_bytes())
    facts = ModelFacts(
        classes=tuple(meta.classes),
        frames_per_clip=meta.frames_per_clip,
        preprocessing=meta.preprocessing,
        multi_label=bool(meta.multi_label),
        checkpoint_sha256=digest,
        temperature=meta.temperature,
    )
    return CheckpointModel(student, facts, choose_device(device))


def _with_preparation_of(path: Path, meta: Checkpoint, cache_dir: Path | str) -> Checkpoint:
    """The checkpoint with the preparation of frames of this cache. InputError if that has another label set."""
    reader = open_reader(cache_dir)
    if meta.label_set not in reader.label_sets():
        raise InputError(
            f"{path} was trained on label set {meta.label_set!r}, which the cache {cache_dir} does not have"
        )
    labels = reader.label_set(meta.label_set)
    made = preprocessing_of(reader.identity, meta.student.resolution, clip_seconds(labels))
    return replace(meta, preprocessing=made, multi_label=labels.multi_label)
