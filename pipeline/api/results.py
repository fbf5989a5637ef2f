"""What the functions of the library return."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedonce.pipeline.metrics.results_schema import EvaluationResults

if TYPE_CHECKING:
    from embedonce.pipeline.export.parity import Parity


@dataclass(frozen=True)
class Extraction:
    """What extract() did, counted from the cache: listed = committed + len(quarantined) + pending + withdrawn videos.

    quarantined: path of each video that cannot be used -> the reason. frames: stored in the cache. times: requested
    times by status, such as "ok". label_sets: names of those that were written.
    """

    cache_dir: Path | str
    listed: int
    committed: int
    pending: int
    withdrawn: int
    quarantined: Mapping[str, str]
    frames: int
    times: Mapping[str, int]
    label_sets: tuple[str, ...]


@dataclass(frozen=True)
class TrainedStudent:
    """A student that train() made. checkpoint: its file. scores: the values logged for its best epoch, from 1.

    selected_by: the score that its best epoch is the best by.
    """

    size: str
    checkpoint: Path
    best_epoch: int | None
    scores: Mapping[str, float | None]
    selected_by: str | None


@dataclass(frozen=True)
class Training:
    """What train() made. students: one for each size; none in processes of torchrun other than the first."""

    output_dir: Path
    students: tuple[TrainedStudent, ...]


@dataclass(frozen=True)
class Evaluation:
    """What evaluate() measured. results: all figures, such as results.student.top1. files: those written, by name."""

    results: EvaluationResults
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Export:
    """What export() wrote. files, num_bytes: by name. parity: of each format with PyTorch, on frames of the cache."""

    output_dir: Path
    files: Mapping[str, Path]
    num_bytes: Mapping[str, int]
    parity: Mapping[str, "Parity"]
