"""Students whose backbone is one linear layer, so that whole training runs take a fraction of a second."""

import torch
from torch import nn

from embedonce.models.student import VideoStudent
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.training import training_run
from embedonce.pipeline.training.settings import TrainConfig


class SmallBackbone(nn.Module):
    """Mean colors of a coarse grid, one linear layer, and batch normalization."""

    num_features = 12

    def __init__(self):
        super().__init__()
        pooled = (nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 12, bias=False))
        self.layers = nn.Sequential(*pooled, nn.BatchNorm1d(12, momentum=0.2), nn.Tanh())

    def forward(self, images):
        return self.layers(images.contiguous())


def build_small(config, pretrained: bool) -> VideoStudent:
    """Replaces build_student."""
    return VideoStudent(config, SmallBackbone())


def build_without_dropout(config, pretrained: bool) -> VideoStudent:
    student = build_small(config, pretrained)
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return student


def use(monkeypatch, build=build_small) -> None:
    """Make training and checkpoints build students with this function."""
    monkeypatch.setattr(training_run, "build_student", build)
    monkeypatch.setattr(checkpoint, "build_student", build)


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    values = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "epochs": 2}
    values |= {"batch_size": 4, "frames_per_clip": 2, "num_workers": 0, "device": "cpu", "evaluation_view_share": 0.0}
    return TrainConfig(cache_dir, output_dir, **(values | changes))


def state_of(folder) -> dict:
    return torch.load(folder / "training_state.pt", weights_only=True)


def weights_of(folder, size: str = "tiny") -> dict:
    """The trained weights in the state, not the moving average."""
    return state_of(folder)["students"][size]["student"]


def best_of(folder) -> dict:
    return torch.load(folder / "best_student.pt", weights_only=True)


def are_equal(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], value) for name, value in other.items())
