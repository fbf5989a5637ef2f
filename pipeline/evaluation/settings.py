"""The settings of evaluate and compare: values and their limits. Imports nothing that computes."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.choices import DEVICES, RUNTIMES, SPLITS


@dataclass(frozen=True)
class EvaluateConfig(Settings):
    """Stage three: which checkpoint on which part of which cache."""

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
    runtime: str = "torch"  # what costs are measured in
    teacher_latency: bool = False  # whether image towers are measured, too
    teacher_model: str | None = None  # configuration file of the cached teacher, to measure it
    overwrite: bool = False  # whether files that evaluate did not make, or of another evaluation, may be replaced

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
            raise ValueError("--teacher-model is for --teacher-latency: give both, or leave it out")


@dataclass(frozen=True)
class CompareConfig(Settings):
    """Which evaluations and checkpoints to set beside each other; the rest is how checkpoints are evaluated."""

    evaluations: tuple[Path, ...]
    output_dir: Path
    cache_dir: Path
    label_set: str | None = None
    split: str = "val"
    batch_size: int = 16
    num_workers: int = 1
    device: str = "auto"
    seed: int = 0
    overwrite: bool = False  # whether files that compare did not make may be replaced

    def __post_init__(self):
        super().__post_init__()
        self._one_of("split", SPLITS)
        self._one_of("device", DEVICES)
        self._positive("batch_size")
        self._not_negative("num_workers")
