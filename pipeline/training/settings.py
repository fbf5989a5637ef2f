"""The settings of train-student: values and their limits. Imports nothing that computes."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedonce.models.losses.feature import FEATURE
from embedonce.models.losses.registry import loss_terms
from embedonce.models.losses.response import RESPONSE
from embedonce.models.losses.task import TASK
from embedonce.models.losses.term import MAX_WEIGHT
from embedonce.models.names import PROJECTIONS
from embedonce.pipeline.settings.base import Settings, is_finite
from embedonce.pipeline.settings.choices import DEVICES

# What train-student takes where nothing is said: minutes on a CPU for a small set, and what a GPU has room for
ON_CPU = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 4}
ON_ACCELERATOR = {"student_size": "xxs", "student_resolution": 224, "frames_per_clip": 8}


def _fields(config) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


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
    alpha: float = FEATURE.weight.default
    beta: float = RESPONSE.weight.default
    gamma: float = TASK.weight.default
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
    plugin_weights: Mapping[str, float] = dataclasses.field(
        default_factory=dict
    )  # of other registered loss terms, by option name

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "TrainConfig":
        """Settings from options by name; weights of loss terms that have no field here become plugin_weights."""
        plugins = {term.weight.name for term in loss_terms()} - _fields(cls)
        own = {name: value for name, value in options.items() if name not in plugins}
        return cls(**own, plugin_weights={name: options[name] for name in options if name in plugins})

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each registered loss term, by the name of its option."""
        values = {term.weight.name: term.weight.default for term in loss_terms()} | {**self.plugin_weights}
        return values | {name: getattr(self, name) for name in values if name in _fields(self)}

    def as_dict(self) -> dict:
        values = super().as_dict()
        del values["plugin_weights"]
        return values | {**self.plugin_weights}

    @property
    def student_sizes(self) -> tuple[str, ...]:
        return tuple(self.student_size.split(",")) if self.student_size is not None else ()

    def for_device(self, kind: str) -> "TrainConfig":
        """With what was left open set to what suits this kind of device; what was given stays."""
        suited: dict[str, Any] = ON_CPU if kind == "cpu" else ON_ACCELERATOR
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
        self._check_loss_weights()

    def _check_loss_weights(self) -> None:
        terms = {term.weight.name: term.weight.flags[0] for term in loss_terms()}
        for name, value in self.plugin_weights.items():
            if name not in terms or name in _fields(self):
                raise ValueError(f"{name!r} is not the weight of a registered loss term; there are {', '.join(terms)}")
            if not (is_finite(value) and 0 <= value <= MAX_WEIGHT):
                raise ValueError(f"{terms[name]} must be from 0 to {MAX_WEIGHT:g}, got {value!r}")
        if not any(self.loss_weights.values()):
            *others, last = terms.values()
            raise ValueError(f"{', '.join(others)} and {last} are all 0: nothing would be trained")
