"""The settings of export-student, validated. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export.registry import format_names
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.choices import SPLITS


@dataclass(frozen=True)
class ExportConfig(Settings):
    """Which student to export, in which formats, and on which clips of which cache to compare it.

    formats: comma-separated names of the registry. num_samples: number of clips that every format is compared on.
    calibration_frames: number of training frames that 8-bit ranges are calibrated on.
    """

    cache_dir: Path
    student_checkpoint: Path
    output_dir: Path
    label_set: str | None = None
    formats: str = "fp32,fp16,int8"
    split: str = "val"
    num_samples: int = 256
    calibration_frames: int = 256
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self):
        super().__post_init__()
        names = self.format_names
        is_known = set(names) <= set(format_names()) and len(set(names)) == len(names)
        self._require(is_known, "formats", f"one or more of {', '.join(format_names())}, comma-separated and different")
        self._one_of("split", SPLITS)
        self._positive("num_samples", "calibration_frames")

    @property
    def format_names(self) -> tuple[str, ...]:
        return tuple(self.formats.split(","))

    def evaluation_settings(self, split: str, num_samples: int) -> EvaluateConfig:
        """Settings that choose clips of this cache for this student, as evaluate does."""
        return EvaluateConfig(
            self.cache_dir,
            self.student_checkpoint,
            self.output_dir,
            label_set=self.label_set,
            split=split,
            num_samples=num_samples,
            num_workers=0,
            seed=self.seed,
        )
