"""The settings of export-student: values and their limits. Imports nothing that computes."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.choices import EXPORT_FORMATS, SPLITS


@dataclass(frozen=True)
class ExportConfig(Settings):
    """Which student leaves in which formats, judged on which clips of which cache.

    formats: of EXPORT_FORMATS, with commas between. num_samples: clips that every export is compared on.
    calibration_frames: frames of training clips that 8-bit ranges are found on.
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
        is_known = set(names) <= set(EXPORT_FORMATS) and len(set(names)) == len(names)
        self._require(is_known, "formats", f"one or more of {', '.join(EXPORT_FORMATS)}, with commas between")
        self._one_of("split", SPLITS)
        self._positive("num_samples", "calibration_frames")

    @property
    def format_names(self) -> tuple[str, ...]:
        return tuple(self.formats.split(","))

    def judged_on(self, split: str, num_samples: int) -> EvaluateConfig:
        """The same cache and student, as clips are chosen for evaluation."""
        places = (self.cache_dir, self.student_checkpoint, self.output_dir)
        return EvaluateConfig(
            *places, label_set=self.label_set, split=split, num_samples=num_samples, num_workers=0, seed=self.seed
        )
