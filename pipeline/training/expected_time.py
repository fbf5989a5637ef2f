"""Estimates how long a training run takes, from a few of its clips, before the first epoch.

Students are copied before they are timed, so nothing is learned.
"""

import copy
import time
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from embedonce.models.device import autocast
from embedonce.models.losses.term import LossSettings
from embedonce.models.losses.total_loss import distillation_loss
from embedonce.models.student import VideoStudent
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.console.units import format_duration
from embedonce.pipeline.processes.timing import synchronizer
from embedonce.pipeline.training.settings import TrainConfig

CLIPS_ON_CPU = 2  # enough on a CPU, and quick; on accelerators a whole batch is timed, as single clips say little
FORWARD_SHARE = 1 / 3  # time of a forward pass as a share of a training step
LONG_SEC = 3600.0


def seconds_per_clip(
    students: Iterable[VideoStudent],
    settings: LossSettings,
    data: ClipDataset,
    config: TrainConfig,
    device: torch.device,
) -> tuple[float, float]:
    """(loading, training): seconds per clip for one loader process, and for a training step of all students together.

    Not compiled. The second of two measurements is taken, as the first opens shards and warms up the device.
    """
    count = min(len(data), CLIPS_ON_CPU if device.type == "cpu" else config.batch_size)
    indexes = np.linspace(0, len(data) - 1, count).astype(int).tolist()
    delivered = []
    for items in batches(data, [indexes, indexes], min(1, config.num_workers)):
        delivered.append((time.perf_counter(), items))
    loading = delivered[1][0] - delivered[0][0]
    batch = ClipBatch.from_items(delivered[1][1]).to(device)
    training = sum(_step_seconds(student, settings, batch, config.amp, device) for student in students)
    return loading / count, training / count


def expected_seconds(
    per_clip: tuple[float, float], num_workers: int, train_clips: float, selection_clips: float
) -> float:
    """Seconds to train on and validate with so many clips in one process. per_clip: see seconds_per_clip."""
    loading, training = per_clip

    def of(clips: float, computing: float) -> float:
        return clips * (max(loading / num_workers, computing) if num_workers else loading + computing)

    return of(train_clips, training) + of(selection_clips, FORWARD_SHARE * training)


def forecast(epoch_seconds: float, num_epochs: float) -> str:
    """The line logged before the first epoch. num_epochs: remaining epochs."""
    rest = epoch_seconds * num_epochs
    line = f"expected time: {format_duration(rest)}, {format_duration(epoch_seconds)} per epoch (from a few clips)"
    if rest <= LONG_SEC:
        return line
    return f"{line}; to shorten it: --epochs, --student-size tiny, --student-resolution 128, --frames-per-clip, a GPU"


def _step_seconds(
    student: VideoStudent, settings: LossSettings, batch: ClipBatch, amp: bool, device: torch.device
) -> float:
    """Seconds of a forward and backward pass of a copy of the student."""
    student, wait = copy.deepcopy(student), synchronizer(device) or (lambda: None)
    nn.Module.train(student)
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        with autocast(device) if amp else torch.enable_grad():
            output = student(*batch.inputs)
        distillation_loss(output, batch.targets, settings)["total"].backward()
        wait()
        seconds = time.perf_counter() - started
    return seconds
