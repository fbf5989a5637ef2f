"""The settings of train-student: values and their limits. Imports nothing that computes."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from embedonce.models.names import PROJECTIONS
from embedonce.pipeline.settings.base import Settings, is_finite
from embedonce.pipeline.settings.choices import DEVICES

# What train-student takes where nothing is said: minutes on a CPU for a small set, and what a GPU has room for
ON_CPU = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 4}
ON_ACCELERATOR = {"student_size": "xxs", "student_resolution": 224, "frames_per_clip": 8}


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Stage two: which cache, which student, how to train it."""

    cache_dir: Path
    output_dir: Path
    label_set: str | None = None
    student_size: str | None = None  # None, here and in the next: what suits the device
    student_resolution: int | None = None
    student_pretrained: bool | None = None  # None: where weights exist
    projection: str = "mlp"
    epochs: int = 30
    batch_size: int = 16
    lr: float = 1e-3
    weight_decay: float = 0.05
    alpha: float = 1.0
    beta: float = 0.1
    gamma: float = 0.5
    temperature: float = 4.0
    frames_per_clip: int | None = None
    views: int | None = None  # None: all that are stored
    jitter: float = 0.0
    ema: float = 0.0
    accumulate_steps: int = 1
    patience: int = 0
    amp: bool = True
    compile: bool = False
    checkpoint_steps: int = 500
    tensorboard: bool = False
    num_workers: int = 1
    device: str = "auto"
    seed: int = 0
    overwrite: bool = False

    @property
    def student_sizes(self) -> tuple[str, ...]:
        return tuple(self.student_size.split(",")) if self.student_size is not None else ()

    def for_device(self, kind: str) -> "TrainConfig":
        """With what was left open set to what suits this kind of device; what was given stays."""
        suited = ON_CPU if kind == "cpu" else ON_ACCELERATOR
        return dataclasses.replace(self, **{n: v for n, v in suited.items() if getattr(self, n) is None})

    def __post_init__(self):
        super().__post_init__()
        sizes = self.student_sizes
        is_named = all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", size) for size in sizes)
        self._require(is_named and len(set(sizes)) == len(sizes), "student_size", "different sizes with commas between")
        self._one_of("projection", PROJECTIONS)
        self._one_of("device", DEVICES)
        self._positive("epochs", "batch_size", "lr", "temperature")
        self._positive("accumulate_steps", "checkpoint_steps")
        self._not_negative("weight_decay", "alpha", "beta", "gamma", "num_workers", "patience")
        if self.views is not None:
            self._not_negative("views")
        if self.frames_per_clip is not None:
            self._positive("frames_per_clip")
        for field in ("jitter", "ema"):
            self._require(
                is_finite(getattr(self, field)) and 0 <= getattr(self, field) < 1, field, "at least 0 and below 1"
            )
        resolutions = (None, *range(128, 257, 32))
        self._require(self.student_resolution in resolutions, "student_resolution", "a multiple of 32 from 128 to 256")
        if self.alpha == self.beta == self.gamma == 0:
            raise ValueError("--alpha, --beta and --gamma are all 0: nothing would be trained")
