"""The settings of extract-teacher and plan-ego4d: values and their limits. Imports nothing that computes."""

import os
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.schema import SAMPLINGS
from embedonce.models.names import (
    PROMPT_STYLES,
    TEACHER_SIZES,
    default_prompt_style,
    default_weights,
)
from embedonce.models.preprocessing import parse
from embedonce.pipeline.engines.registry import DEFAULT_ENGINE, ENGINES
from embedonce.pipeline.naming.annotation_kinds import MAX_NARRATION_WINDOW
from embedonce.pipeline.settings.choices import DECODERS, DEVICES, TEACHER_HEADS
from embedonce.pipeline.sources.folder.layouts import LAYOUTS
from embedonce.pipeline.sources.settings import Annotated


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
    num_samples: int = 480  # labeled clips of the synthetic data
    num_actions: int | None = None
    sampling: str = "fps"
    fps: float = 2.0
    decoder: str = "software"
    teacher_size: str = "base"
    teacher_model: str | None = None  # a registered or open_clip name, or a JSON configuration; overrides teacher_size
    teacher_module: Path | None = None  # a Python file that registers a teacher
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
    engine: str = DEFAULT_ENGINE  # what runs the decode tasks
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
        self._one_of("engine", ENGINES)
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
        """The weights of an open_clip teacher: the chosen ones, else the default of its model."""
        return self.teacher_weights or default_weights(self.model)

    @property
    def wording(self) -> str:
        """The style of class prompts."""
        return self.prompt_style or default_prompt_style(self.model)

    @property
    def num_decode_workers(self) -> int:
        return self.decode_workers or max(1, (os.cpu_count() or 2) - 1)


@dataclass(frozen=True)
class PlanConfig(Annotated):
    """What an Ego4D download offers, and what extracting it takes."""

    data_dir: Path
    annotations: str | None = None
    skip_invalid: bool = False
    clip_splits: bool = False
    num_actions: int | None = None
    fps: float = 2.0
    views: int = 0
    assume_downloaded: bool = False
    num_videos: int | None = None
    classes: None = None
    class_names: None = None
    label_set: None = None
    strict: bool = False
    fho_window: str = "action"
    max_narration_window: float = MAX_NARRATION_WINDOW  # seconds

    def __post_init__(self):
        super().__post_init__()
        self._check_annotated()
        self._positive("fps")
        self._not_negative("views")
        for field in ("num_actions", "num_videos"):
            if getattr(self, field) is not None:
                self._positive(field)
        if self.num_videos is not None and not self.assume_downloaded:
            raise ValueError("--num-videos goes with --assume-downloaded")
