"""How long a training run will take, measured on a few of its own clips before the first epoch.

Leaves students, statistics and data as they are: what is timed learns nothing.
"""

import copy
import time
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from embedonce.models.device import autocast
from embedonce.models.losses import LossWeights, Targets, distillation_loss
from embedonce.models.student import VideoStudent
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.processes.timing import synchronizer
from embedonce.pipeline.training.settings import TrainConfig

CLIPS_ON_CPU = 2  # enough there, and a slow run is told so soon; elsewhere a whole batch, as a few say nothing
FORWARD_SHARE = 1 / 3  # of a training step: what judging a clip costs
LONG_SEC = 3600.0


def seconds_per_clip(
    students: Iterable[VideoStudent],
    weights: LossWeights,
    data: ClipDataset,
    config: TrainConfig,
    device: torch.device,
) -> tuple[float, float]:
    """(loading, learning): what one clip takes to be read by one loader, and by all students together to learn from.

    Uncompiled. Each is the second of two times, as the first opens shards and prepares the device.
    """
    count = min(len(data), CLIPS_ON_CPU if device.type == "cpu" else config.batch_size)
    indexes = np.linspace(0, len(data) - 1, count).astype(int).tolist()
    delivered = []
    for batch in batches(data, [indexes, indexes], min(1, config.num_workers)):
        delivered.append((time.perf_counter(), batch))
    loading = delivered[1][0] - delivered[0][0]
    batch = {name: tensor.to(device) for name, tensor in delivered[1][1].items()}
    learning = sum(_learning_time(student, weights, batch, config.amp, device) for student in students)
    return loading / count, learning / count


def expected_seconds(per_clip: tuple[float, float], num_workers: int, train_clips: float, judged_clips: float) -> float:
    """Of training and judging on so many clips in one process. per_clip: see seconds_per_clip."""
    loading, learning = per_clip

    def of(clips: float, computing: float) -> float:
        return clips * (max(loading / num_workers, computing) if num_workers else loading + computing)

    return of(train_clips, learning) + of(judged_clips, FORWARD_SHARE * learning)


def forecast(epoch_seconds: float, num_epochs: float) -> str:
    """What is told before the first epoch. num_epochs: those to come."""
    rest = epoch_seconds * num_epochs
    line = f"expected time: {in_words(rest)}, {in_words(epoch_seconds)} an epoch (measured on a few clips)"
    if rest <= LONG_SEC:
        return line
    return f"{line}; for less: --epochs, --student-size tiny, --student-resolution 128, --frames-per-clip, or a GPU"


def in_words(seconds: float) -> str:
    """A duration as people say it, to two digits at most."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def _learning_time(student: VideoStudent, weights: LossWeights, batch: dict, amp: bool, device) -> float:
    """Seconds of a forward and backward pass of a copy."""
    student, wait = copy.deepcopy(student), synchronizer(device) or (lambda: None)
    nn.Module.train(student)
    targets = Targets(batch["embeddings"], batch.get("logits"), batch["label"], batch["mask"])
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        with autocast(device) if amp else torch.enable_grad():
            output = student(batch["frames"], batch["t_rel_sec"], batch["mask"])
        distillation_loss(output, targets, weights)["total"].backward()
        wait()
        seconds = time.perf_counter() - started
    return seconds
