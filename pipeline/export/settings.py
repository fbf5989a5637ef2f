"""The settings of export-student. Imports nothing that computes."""

from dataclasses import dataclass, replace
from pathlib import Path

from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export.registry import format_names
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import DATA, OUTPUT, setting


@dataclass(frozen=True)
class ExportConfig(Settings):
    """Which student is exported to which formats, and the clips that the exported files are compared on."""

    cache_dir: Path | str = setting(shared.CACHE_DIR)
    student_checkpoint: Path = setting(replace(shared.STUDENT_CHECKPOINT, help="Student checkpoint to export."))
    output_dir: Path = setting(replace(shared.OUTPUT_DIR, default=shared.RESULTS / "export"))
    label_set: str | None = setting(shared.LABEL_SET)
    formats: str = setting(
        "fp32,fp16,int8",
        f"Formats to export, comma-separated: {', '.join(format_names())}; the first three are ONNX.",
        group=OUTPUT,
    )
    split: str = setting(replace(shared.SPLIT, help="Split of the clips for the parity check."))
    num_samples: int = setting(256, "Maximum number of clips for the parity check.", group=DATA, range=ranges.COUNT)
    calibration_frames: int = setting(
        256, "Training frames that int8 quantization is calibrated on.", group=DATA, range=ranges.REPEATS
    )
    web_runtime: Path | None = setting(
        None,
        "Folder or .tgz file of the npm package onnxruntime-web, for the format web; by default, npm downloads it.",
        group=OUTPUT,
    )
    seed: int = setting(replace(shared.SEED, help="Seed for choosing the clips and frames."))
    overwrite: bool = setting(False, "Replace the export that --output-dir already holds.", group=OUTPUT)
    local_cache_dir: Path | None = setting(shared.LOCAL_CACHE_DIR)
    local_cache_gb: float = setting(shared.LOCAL_CACHE_GB)

    def __post_init__(self):
        super().__post_init__()
        names = self.format_names
        is_known = set(names) <= set(format_names()) and len(set(names)) == len(names)
        self._require(is_known, "formats", f"one or more of {', '.join(format_names())}, comma-separated and different")

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
