"""The contents of comparison.json and comparison.csv as dataclasses: the table of several students."""

from dataclasses import dataclass
from typing import Any

from embedonce.pipeline.metrics.results_json import as_json
from embedonce.pipeline.metrics.results_schema import Majority


@dataclass(frozen=True)
class Difference:
    """Top-1 less that of the first student, in points, paired by clip. not_paired: why there is no difference."""

    difference_points: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    not_paired: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One model. Rates are 0 to 1, differences in points; None for what was not measured or does not apply."""

    role: str  # "teacher" or "student"
    name: str
    source: str
    size: str
    top1: float | None
    top1_low: float | None
    top1_high: float | None
    top5: float | None
    mean_class_accuracy: float | None
    mean_class_low: float | None
    mean_class_high: float | None
    mean_average_precision: float | None
    map_low: float | None
    map_high: float | None
    calibration_error: float | None
    parameters: int
    bytes_on_disk: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    throughput_per_s: float | None
    macs: int | None
    peak_memory_bytes: int | None
    zero_shot_top1: float | None = None
    agreement: float | None = None
    agreement_top5: float | None = None
    kl_divergence: float | None = None
    embedding_cosine: float | None = None
    accuracy_drop_points: float | None = None
    compression: float | None = None
    difference_points: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    not_paired: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class ComparisonTable:
    """All of comparison.json. baseline: the name of the first student, which differences refer to."""

    schema_version: int
    note: str | None
    split: str
    num_clips: int
    num_videos: int
    num_labelled_clips: int
    num_classes: int
    multi_label: bool
    chance: float | None
    majority: Majority | None
    baseline: str
    rows: list[ComparisonRow]
    remarks: list[str]

    @property
    def students(self) -> list[ComparisonRow]:
        return [row for row in self.rows if row.role == "student"]

    def as_dict(self) -> dict[str, Any]:
        """JSON values, by the names of comparison.json."""
        rows = [row.as_dict() for row in self.rows]
        majority = None if self.majority is None else as_json(self.majority)
        return vars(self) | {"majority": majority, "rows": rows}
