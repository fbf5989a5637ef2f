"""Small students for tests: the real one on a backbone of one convolution; and training runs that are stopped."""

from pathlib import Path

import torch
from torch import nn

from embedonce.models.student import VideoStudent
from embedonce.models.student_config import StudentConfig


class StopError(Exception):
    """Raised to stop a run."""


class SmallBackbone(nn.Sequential):
    """(N, 3, R, R) -> (N, 8), with batch normalization and dropout."""

    num_features = 8

    def __init__(self):
        convolution = nn.Conv2d(3, self.num_features, 16, stride=16)
        layers = convolution, nn.BatchNorm2d(self.num_features), nn.SiLU(), nn.Dropout(0.2)
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class StillStudent(VideoStudent):
    """A student that stays in eval mode."""

    def train(self, mode: bool = True):
        return super().train(False)


def build_small_student(config: StudentConfig, pretrained: bool) -> VideoStudent:
    """Replaces models.student.build_student."""
    return VideoStudent(config, SmallBackbone())


def build_still_student(config: StudentConfig, pretrained: bool) -> VideoStudent:
    """A student without dropout and batch statistics: its gradient for a batch is the sum of those of its parts."""
    return StillStudent(config, SmallBackbone()).eval()


def train_stopped(training, config, saves: int) -> bool:
    """Train until `saves` states are saved, then resume to the end; returns whether the run was stopped.

    training: the module trainer, imported in this process.
    """
    run_type = training.TrainingRun
    real, count = run_type.save_state, []

    def save(run):
        real(run)
        count.append(1)
        if len(count) == saves:
            raise StopError

    run_type.save_state = save
    try:
        training.train(config)
    except StopError:
        return True
    finally:
        run_type.save_state = real
        if len(count) >= saves > 0:
            training.train(config)
    return False


def record_first_gradient(training, path: Path) -> None:
    """Make the next run save the gradient of its first optimizer step, summed over all processes."""
    real = training.World.sync_gradients

    def sync_gradients(world, student):
        real(world, student)
        training.World.sync_gradients = real
        if world.is_first:
            gradients = [(name, p.grad) for name, p in student.named_parameters() if p.grad is not None]
            torch.save({name: gradient.clone() for name, gradient in gradients}, path)

    training.World.sync_gradients = sync_gradients
