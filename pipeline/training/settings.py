"""The settings of train-student. Imports nothing that computes."""

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
from embedonce.models.losses.term import MAX_WEIGHT, LossTerm
from embedonce.models.losses.text import TEXT
from embedonce.models.names import ATTENTION, NARROW_SIZES, OPTIMIZERS, POOLINGS, PROJECTIONS, STUDENT_SIZES
from embedonce.pipeline.settings import choices, ranges, shared
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import (
    CACHE,
    LOSS,
    OUTPUT,
    RUNTIME,
    STUDENT,
    TRAINING,
    Option,
    plugin_settings,
    setting,
)
from embedonce.pipeline.tracking.registry import CSV, tracker_names
from embedonce.pipeline.training.optimizer_choice import default_text
from embedonce.pipeline.training.teacher_weights import parse_weights

# Defaults by device: minutes on a CPU for a small data set, and what a GPU has room for
ON_CPU = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 4}
ON_ACCELERATOR = {"student_size": "xxs", "student_resolution": 224, "frames_per_clip": 8}
BY_DEVICE = {name: f"{ON_CPU[name]} on a CPU, else {ON_ACCELERATOR[name]}" for name in ON_CPU}
RESOLUTIONS = range(128, 257, 32)
OWN_TERMS = (FEATURE, RESPONSE, TASK, TEXT)  # their weights have fields


def _weight_option(term: LossTerm) -> Option:
    """The option for the weight of a loss term."""
    return Option(
        name=term.weight.name,
        value_type=float,
        default=term.weight.default,
        help=term.weight.help,
        aliases=term.weight.flags[1:],
        group=LOSS,
        range=ranges.non_negative(MAX_WEIGHT),
    )


def _plugin_weight_options() -> tuple[Option, ...]:
    """The options for the weights of the registered loss terms that come from elsewhere."""
    return tuple(_weight_option(term) for term in loss_terms() if term not in OWN_TERMS)


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Which students are trained from which cache, and how.

    plugin_weights: of registered loss terms without a field here, by the names of their options.
    """

    cache_dir: Path | str = setting(shared.CACHE_DIR)
    output_dir: Path = setting(shared.OUTPUT_DIR)
    label_set: str | None = setting(shared.LABEL_SET)
    views: int | None = setting(
        help="Stored random crops to train from; 0: the evaluation crop.",
        group=CACHE,
        range=ranges.VIEWS,
        default_text="all",
    )
    evaluation_view_share: float | None = setting(
        help="Share of the clips drawn in an epoch, from 0 to 1, that use the evaluation crop in place of a random "
        "one.",
        group=CACHE,
        range=ranges.SHARE,
        default_text="1 until a student memorizes its training clips, then 0; 0 with --no-selection",
    )
    evaluation_view_warmup: float = setting(
        0.0,
        "Share of all epochs, from 0 to 1, that come first and use the evaluation crop alone.",
        group=CACHE,
        range=ranges.SHARE,
    )
    student_size: str | None = setting(
        help=f"Student backbone: {', '.join(STUDENT_SIZES)}, or any timm backbone by name; several names, "
        "comma-separated, are trained jointly on shared batches.",
        group=STUDENT,
        default_text=BY_DEVICE["student_size"],
    )
    student_resolution: int | None = setting(
        help="Input side of the student, 128 to 256 pixels.",
        group=STUDENT,
        default_text=BY_DEVICE["student_resolution"],
    )
    student_pretrained: bool | None = setting(
        help="Start from timm's ImageNet weights, or from scratch.",
        group=STUDENT,
        default_text="pretrained if such weights exist",
    )
    projection: str | None = setting(
        help="Layers from the backbone's features to the teacher's space.",
        group=STUDENT,
        choices=PROJECTIONS,
        default_text=f"linear; mlp for {', '.join(NARROW_SIZES)}",
    )
    pooling: str = setting(
        ATTENTION,
        "How the frames of a clip become one vector. attention: their mean plus attention to their times, which can "
        "tell their order; mean: their mean alone, which cannot.",
        group=STUDENT,
        choices=POOLINGS,
    )
    frames_per_clip: int | None = setting(
        help="Frames sampled per clip.",
        group=TRAINING,
        range=ranges.FRAMES_PER_CLIP,
        default_text=BY_DEVICE["frames_per_clip"],
    )
    epochs: int = setting(30, "Number of training epochs.", group=TRAINING, range=ranges.REPEATS)
    batch_size: int = setting(shared.CLIP_BATCH_SIZE)
    accumulate_steps: int = setting(
        1,
        "Gradient accumulation: batches per optimizer step.",
        group=TRAINING,
        aliases=("--grad-accum-steps",),
        range=ranges.REPEATS,
    )
    optimizer: str | None = setting(
        help="Optimizer. muon: learns from scratch in far fewer steps; adamw: the usual one for pretrained weights.",
        group=TRAINING,
        choices=OPTIMIZERS,
        default_text="muon from scratch, adamw from pretrained weights",
    )
    lr: float | None = setting(
        help="Peak learning rate; with muon, that of weight matrices is ten times as high.",
        group=TRAINING,
        range=ranges.positive(1e30),
        default_text=default_text("lr"),
    )
    weight_decay: float | None = setting(
        help="Weight decay of matrices and kernels.",
        group=TRAINING,
        range=ranges.non_negative(1e3),
        default_text=default_text("weight_decay"),
    )
    jitter: float = setting(0.3, "Color-jitter strength; 0: none.", group=TRAINING, range=ranges.FRACTION)
    time_shift: float = setting(
        0.0,
        "Largest share of its length by which the window of a training clip is moved, e.g. 0.1; 0: not at all.",
        group=TRAINING,
        range=ranges.FRACTION,
    )
    ema: float = setting(
        0.0,
        "Decay of the exponential moving average of the weights, e.g. 0.999; 0: no average.",
        group=TRAINING,
        range=ranges.FRACTION,
    )
    patience: int = setting(
        0,
        "Epochs without improvement after which training stops early; 0: never.",
        group=TRAINING,
        range=ranges.non_negative(ranges.MAX_REPEATS),
    )
    alpha: float = setting(_weight_option(FEATURE))
    beta: float = setting(_weight_option(RESPONSE))
    gamma: float = setting(_weight_option(TASK))
    text_weight: float = setting(_weight_option(TEXT))
    plugin_weights: Mapping[str, float] = plugin_settings(_plugin_weight_options)
    teachers: str | None = setting(
        help="Teachers to learn the embeddings of, each with its weight in the feature term: first is the one that "
        "made the cache, add-teacher adds others.",
        group=LOSS,
        metavar="NAME:WEIGHT,...",
        default_text="first",
    )
    temperature: float = setting(
        4.0,
        "Distillation temperature of the response term.",
        group=LOSS,
        range=ranges.positive(1e3, smallest=1e-3),
    )
    class_weights: str = setting(
        "none",
        "Weight of each class in the task term; balanced: inverse to its number of training clips.",
        group=LOSS,
        choices=choices.CLASS_WEIGHTS,
    )
    selection: bool = setting(
        True,
        "Hold out a tenth of the training recordings to choose the best epoch and to calibrate the student. "
        "--no-selection: train on these, too, with random views from the start unless set otherwise; the epoch with "
        "the lowest training loss is the best, and nothing is calibrated.",
        group=TRAINING,
    )
    sampler: str = setting(
        "epoch",
        "Clips of an epoch. epoch: every clip exactly once; balanced: as many clips, equally many of each class, so "
        "that some are drawn several times and others not at all.",
        group=TRAINING,
        choices=choices.SAMPLERS,
    )
    report_to: str = setting(
        CSV,
        f"Experiment trackers to log each epoch to, comma-separated: {', '.join(tracker_names())}; train_log.csv is "
        "always written.",
        group=OUTPUT,
        metavar="NAME,...",
    )
    tensorboard: bool = setting(False, "Same as --report-to tensorboard.", group=OUTPUT)
    overwrite: bool = setting(False, "Start a new run even if --output-dir holds another training run.", group=OUTPUT)
    local_cache_dir: Path | None = setting(shared.LOCAL_CACHE_DIR)
    local_cache_gb: float = setting(shared.LOCAL_CACHE_GB)
    checkpoint_steps: int = setting(
        500,
        "Batches between checkpoints within an epoch; each is saved at the end of an optimizer step.",
        group=OUTPUT,
        range=ranges.COUNT,
    )
    amp: bool = setting(True, "Automatic mixed precision, if the device supports it.", group=RUNTIME)
    compile: bool = setting(False, "Compile the students with torch.compile.", group=RUNTIME)
    num_workers: int = setting(shared.NUM_WORKERS)
    preload: str = setting(
        "auto",
        "Keep decoded frames in memory once they are read. auto: if all of them fit into half of what is available.",
        group=RUNTIME,
        choices=choices.PRELOAD,
    )
    device: str = setting(shared.DEVICE)
    seed: int = setting(shared.SEED)

    @property
    def student_sizes(self) -> tuple[str, ...]:
        return tuple(self.student_size.split(",")) if self.student_size is not None else ()

    @property
    def trackers(self) -> tuple[str, ...]:
        """The chosen trackers, each once, without the table that is always written."""
        chosen = (*self.report_to.split(","), *(["tensorboard"] if self.tensorboard else []))
        return tuple(dict.fromkeys(name for name in chosen if name != CSV))

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each registered loss term, by the name of its option."""
        own = {term.weight.name: getattr(self, term.weight.name) for term in OWN_TERMS}
        return own | dict(self.plugin_weights)

    def for_device(self, device_type: str) -> "TrainConfig":
        """The settings with what was not given set to the defaults for this type of device, such as "cpu"."""
        defaults = ON_CPU if device_type == "cpu" else ON_ACCELERATOR
        missing: dict[str, Any] = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def __post_init__(self):
        super().__post_init__()
        sizes = self.student_sizes
        are_names = all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", size) for size in sizes)
        self._require(are_names and len(set(sizes)) == len(sizes), "student_size", "different names, comma-separated")
        is_supported = self.student_resolution is None or self.student_resolution in RESOLUTIONS
        self._require(is_supported, "student_resolution", "a multiple of 32 from 128 to 256")
        reported = self.report_to.split(",")
        are_known = set(reported) <= set(tracker_names()) and len(set(reported)) == len(reported)
        self._require(are_known, "report_to", f"one or more of {', '.join(tracker_names())}, comma-separated")
        if not any(self.loss_weights.values()):
            *others, last = (term.weight.flags[0] for term in loss_terms())
            raise ValueError(f"{', '.join(others)} and {last} are all 0: nothing would be trained")
        self._check_balance()
        self._check_teachers()

    def _check_teachers(self) -> None:
        """ValueError if --teachers is malformed, or has no effect."""
        if self.teachers is None:
            return
        try:
            parse_weights(self.teachers)
        except ValueError as error:
            raise ValueError(f"--teachers must be {error}; got {self.teachers!r}") from error
        if not self.alpha:
            raise ValueError("--teachers weights the feature term, which --alpha 0 turns off; omit one of them")

    def _check_balance(self) -> None:
        """ValueError if weights of classes would have no effect, or count rare classes twice."""
        if self.class_weights == "none":
            return
        if not self.gamma:
            raise ValueError(
                "--class-weights balanced weights the task term, which --gamma 0 turns off; omit one of them"
            )
        if self.sampler == "balanced":
            raise ValueError(
                "--class-weights balanced and --sampler balanced both make up for rare classes, which would count too "
                "much with both; omit one of them"
            )
