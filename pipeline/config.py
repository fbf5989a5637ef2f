"""The settings of each command as frozen, validated data, and their YAML form beside every output.

Knows values and their limits; imports nothing that computes.
"""

import dataclasses
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from embedonce.cache.layout import BACKENDS
from embedonce.cache.schema import SAMPLINGS, UID_PATTERN
from embedonce.models.names import (
    PROJECTIONS,
    PROMPT_STYLES,
    SHIPPED_WEIGHTS,
    TEACHER_SIZES,
    USUAL_WEIGHTS,
    usual_prompt_style,
)
from embedonce.models.preprocessing import parse
from embedonce.pipeline.ego4d.names import FHO_WINDOWS, KIND_NAMES, MAX_NARRATION_WINDOW
from embedonce.pipeline.layouts import LAYOUTS
from embedonce.pipeline.option_ranges import outside
from embedonce.pipeline.path_options import check_local_paths
from embedonce.pipeline.sources import SourceOptions

DEVICES = ("auto", "cuda", "mps", "cpu")
ACTIVATIONS = ("quickgelu", "gelu")
DECODERS = ("software", "nvdec")
TEACHER_HEADS = ("zero-shot", "fitted", "none")
SPLITS = ("train", "val", "test")
# What train-student takes where nothing is said: minutes on a CPU for a small set, and what a GPU has room for
ON_CPU = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 4}
ON_ACCELERATOR = {"student_size": "xxs", "student_resolution": 224, "frames_per_clip": 8}


class Settings:
    """What all settings share: their form as plain values, and as YAML.

    ValueError for URLs in the place of local paths, and for numbers out of their range.
    """

    def __post_init__(self):
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        check_local_paths(values)
        for field, value in values.items():
            expected = outside(field, value)
            self._require(expected is None, field, expected)

    def as_dict(self) -> dict:
        """Field names to JSON values; paths as text."""
        fields = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: _plain(value) for name, value in fields}

    def as_yaml(self) -> str:
        """The settings as a file that --config accepts. It never says to overwrite: that is said once, for one run."""
        settings = {name: value for name, value in self.as_dict().items() if name != "overwrite"}
        return yaml.safe_dump(settings, sort_keys=False)

    def _require(self, ok: bool, field: str, expected: str) -> None:
        if not ok:
            option = "--" + field.replace("_", "-")
            raise ValueError(f"{option} must be {expected}, got {getattr(self, field)!r}")

    def _positive(self, *fields: str) -> None:
        for field in fields:
            self._require(_finite(getattr(self, field)) and getattr(self, field) > 0, field, "greater than 0")

    def _not_negative(self, *fields: str) -> None:
        for field in fields:
            self._require(_finite(getattr(self, field)) and getattr(self, field) >= 0, field, "0 or more")

    def _one_of(self, field: str, choices) -> None:
        self._require(getattr(self, field) in choices, field, "one of " + ", ".join(choices))


class Annotated(Settings):
    """What settings share that read annotations."""

    @property
    def source_options(self) -> SourceOptions:
        kinds = tuple(self.annotations.split(",")) if self.annotations else ()
        layout, class_names = getattr(self, "layout", None), self.class_names
        return SourceOptions(
            annotations=kinds,
            classes_file=self.classes,
            skip_invalid=self.skip_invalid,
            clip_splits=self.clip_splits,
            layout=layout,
            class_names=class_names,
            strict=self.strict,
            fho_window=self.fho_window,
            max_narration_window=self.max_narration_window,
        )

    def _check_annotated(self) -> None:
        kinds = self.source_options.annotations
        known = ", ".join(KIND_NAMES)
        self._require(set(kinds) <= set(KIND_NAMES), "annotations", f"one or more of {known}, with commas between")
        self._require(len(set(kinds)) == len(kinds), "annotations", "different kinds")
        self._one_of("fho_window", FHO_WINDOWS)
        self._positive("max_narration_window")
        named = self.label_set is None or UID_PATTERN.fullmatch(self.label_set)
        self._require(bool(named), "label_set", "letters, digits, _ and -, beginning with a letter or digit")
        single = ("label_set", "classes", "class_names")
        given = [f"--{name.replace('_', '-')}" for name in single if getattr(self, name)]
        if len(kinds) > 1 and given:
            raise ValueError(f"{given[0]} is for one kind of annotations, and --annotations names {len(kinds)}")
        if self.classes and self.class_names:
            raise ValueError("--class-names renames the classes of the data, and --classes names others: leave one out")


@dataclass(frozen=True)
class ExtractConfig(Annotated):
    """Stage one: which videos, which teacher, which cache."""

    data_dir: Path | None
    use_synthetic: bool
    cache_dir: Path
    backend: str = "hdf5"
    annotations: str | None = None  # kinds of Ego4D's, with commas between
    skip_invalid: bool = False
    clip_splits: bool = False
    layout: str | None = None  # of a folder without annotations; None: as its folders show
    class_names: Path | None = None  # file of readable names for the data's classes
    classes: Path | None = None
    num_samples: int = 480  # labelled clips of the synthetic data
    num_actions: int | None = None
    sampling: str = "fps"
    fps: float = 2.0
    decoder: str = "software"
    teacher_size: str = "base"
    teacher_model: str | None = None  # an open_clip name or a JSON configuration; overrides teacher_size
    teacher_weights: str | None = None  # a tag, a local file or "random"; None: those that belong to the model
    teacher_activation: str | None = None
    teacher_preprocess: str | None = None  # of local or random weights: a tag, or values as models.preprocessing has it
    teacher_head: str = "zero-shot"
    label_set: str | None = None
    views: int = 0
    jpeg_quality: int = 90
    canonical_short_side: int | None = None
    shard_frames: int = 512
    batch_size: int = 64
    decode_workers: int | None = None
    video_timeout: float = 120.0
    device: str = "auto"
    seed: int = 0
    strict: bool = False  # whether single odd entries of annotations are errors
    fho_window: str = "action"
    max_narration_window: float = MAX_NARRATION_WINDOW  # seconds
    prompt_style: str | None = None  # None: as suits the teacher

    def __post_init__(self):
        super().__post_init__()
        self._one_of("backend", BACKENDS)
        self._one_of("teacher_size", TEACHER_SIZES)
        self._one_of("teacher_head", TEACHER_HEADS)
        if self.prompt_style is not None:
            self._one_of("prompt_style", PROMPT_STYLES)
        self._one_of("device", DEVICES)
        self._one_of("sampling", SAMPLINGS)
        self._one_of("decoder", DECODERS)
        self._positive("fps", "shard_frames", "batch_size", "video_timeout", "num_samples")
        self._not_negative("views")
        self._require(90 <= self.jpeg_quality <= 100, "jpeg_quality", "from 90 to 100")
        for field in ("num_actions", "decode_workers", "canonical_short_side"):
            if getattr(self, field) is not None:
                self._positive(field)
        if self.layout is not None:
            self._one_of("layout", LAYOUTS)
            if self.use_synthetic:
                raise ValueError("--layout is about the folders of --data-dir, and --use-synthetic has annotations")
        if self.teacher_preprocess is not None:
            parse(self.teacher_preprocess)
        self._check_annotated()

    @property
    def model(self) -> str:
        """The teacher's name or configuration file."""
        return self.teacher_model or TEACHER_SIZES[self.teacher_size]

    @property
    def weights(self) -> str:
        """The teacher's weights: those asked for, else the shipped ones where the model has some, else OpenAI's."""
        return self.teacher_weights or SHIPPED_WEIGHTS.get(self.model, USUAL_WEIGHTS)

    @property
    def wording(self) -> str:
        """The style of class prompts."""
        return self.prompt_style or usual_prompt_style(self.model)

    @property
    def num_decode_workers(self) -> int:
        return self.decode_workers or max(1, (os.cpu_count() or 2) - 1)


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
                _finite(getattr(self, field)) and 0 <= getattr(self, field) < 1, field, "at least 0 and below 1"
            )
        resolutions = (None, *range(128, 257, 32))
        self._require(self.student_resolution in resolutions, "student_resolution", "a multiple of 32 from 128 to 256")
        if self.alpha == self.beta == self.gamma == 0:
            raise ValueError("--alpha, --beta and --gamma are all 0: nothing would be trained")


def _plain(value):
    """A setting as a JSON value; paths as text."""
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _finite(value) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
