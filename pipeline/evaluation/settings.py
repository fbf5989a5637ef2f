"""The settings of evaluate and compare, validated. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.choices import DEVICES, RUNTIMES, SPLITS


@dataclass(frozen=True)
class EvaluateConfig(Settings):
    """Which checkpoint to evaluate, and on which split of which cache."""

    cache_dir: Path
    student_checkpoint: Path
    output_dir: Path
    label_set: str | None = None
    split: str = "val"
    batch_size: int = 16
    num_samples: int | None = None
    num_workers: int = 1
    device: str = "auto"
    seed: int = 0
    runtime: str = "torch"  # that costs are measured in
    teacher_latency: bool = False  # whether to time the image encoders of teachers, too
    teacher_model: str | None = None  # configuration file of the teacher, to time it
    overwrite: bool = False  # whether to replace other files, or the evaluation of another student

    def __post_init__(self):
        super().__post_init__()
        self._one_of("split", SPLITS)
        self._one_of("device", DEVICES)
        self._one_of("runtime", RUNTIMES)
        if self.runtime == "onnx":
            self._require(self.device in ("auto", "cpu"), "device", "cpu (or auto) with --runtime onnx")
        self._positive("batch_size")
        self._not_negative("num_workers")
        if self.num_samples is not None:
            self._positive("num_samples")
        if self.teacher_model is not None and not self.teacher_latency:
            raise ValueError("--teacher-model requires --teacher-latency: give both, or leave it out")


@dataclass(frozen=True)
class CompareConfig(Settings):
    """Which evaluations and checkpoints to compare; the other settings are for evaluating the checkpoints."""

    evaluations: tuple[Path, ...]
    output_dir: Path
    cache_dir: Path
    label_set: str | None = None
    split: str = "val"
    batch_size: int = 16
    num_workers: int = 1
    device: str = "auto"
    seed: int = 0
    overwrite: bool = False  # whether to replace other files

    def __post_init__(self):
        super().__post_init__()
        self._one_of("split", SPLITS)
        self._one_of("device", DEVICES)
        self._positive("batch_size")
        self._not_negative("num_workers")
