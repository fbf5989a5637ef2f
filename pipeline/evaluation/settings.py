"""The settings of evaluate and compare. Imports nothing that computes."""

from dataclasses import dataclass, replace
from pathlib import Path

from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.choices import RUNTIMES
from embedonce.pipeline.settings.options import DATA, RUNTIME, TEACHER, setting


@dataclass(frozen=True)
class EvaluateConfig(Settings):
    """Which student is evaluated on which clips of which cache. runtime: what costs are measured with."""

    cache_dir: Path | str = setting(shared.CACHE_DIR)
    student_checkpoint: Path = setting(replace(shared.STUDENT_CHECKPOINT, help="Student checkpoint to evaluate."))
    output_dir: Path = setting(shared.OUTPUT_DIR)
    label_set: str | None = setting(shared.LABEL_SET)
    split: str = setting(shared.SPLIT)
    num_samples: int | None = setting(
        help="Number of clips to evaluate, drawn at random with --seed.",
        group=DATA,
        range=ranges.COUNT,
        default_text="all",
    )
    teacher_latency: bool = setting(
        False,
        "Also measure the latency of the image towers of the teacher and of ViT-B/32, with random weights (needs "
        "open_clip).",
        group=TEACHER,
    )
    teacher_model: str | None = setting(
        help="JSON configuration file of the cached teacher, for --teacher-latency.", group=TEACHER, may_be_path=True
    )
    runtime: str = setting("torch", "Runtime that latencies are measured with.", group=RUNTIME, choices=RUNTIMES)
    batch_size: int = setting(shared.EVALUATION_BATCH_SIZE)
    num_workers: int = setting(shared.NUM_WORKERS)
    device: str = setting(shared.DEVICE)
    seed: int = setting(shared.SEED)
    overwrite: bool = setting(shared.OVERWRITE)
    local_cache_dir: Path | None = setting(shared.LOCAL_CACHE_DIR)
    local_cache_gb: float = setting(shared.LOCAL_CACHE_GB)

    def __post_init__(self):
        super().__post_init__()
        if self.runtime == "onnx":
            self._require(self.device in ("auto", "cpu"), "device", "cpu (or auto) with --runtime onnx")
        if self.teacher_model is not None and not self.teacher_latency:
            raise ValueError("--teacher-model requires --teacher-latency: give both, or leave it out")


@dataclass(frozen=True)
class CompareConfig(Settings):
    """Which evaluations and checkpoints are compared; the other settings are for evaluating the checkpoints."""

    evaluations: tuple[Path, ...]
    output_dir: Path = setting(replace(shared.OUTPUT_DIR, default=shared.RESULTS / "comparison"))
    cache_dir: Path | str = setting(shared.CACHE_DIR)
    label_set: str | None = setting(shared.LABEL_SET)
    split: str = setting(shared.SPLIT)
    batch_size: int = setting(shared.EVALUATION_BATCH_SIZE)
    num_workers: int = setting(shared.NUM_WORKERS)
    device: str = setting(shared.DEVICE)
    seed: int = setting(shared.SEED)
    overwrite: bool = setting(shared.OVERWRITE)
    local_cache_dir: Path | None = setting(shared.LOCAL_CACHE_DIR)
    local_cache_gb: float = setting(shared.LOCAL_CACHE_GB)
