"""Facts of an exported student, made up."""

from typing import Any

from embedonce.pipeline.export.facts import ExportFacts
from embedonce.pipeline.frames.preprocessing import Preprocessing

STUDENT = {"size": "xs", "resolution": 192, "embed_dim": 77}


def make_facts(
    student: dict[str, Any] = STUDENT, classes: list[str] | None = None, teacher: str = "T", **preprocessing: Any
) -> ExportFacts:
    """Facts of a student with these settings; preprocessing: changes of Preprocessing's fields."""
    fields = {"input": "", "resolution": student["resolution"], "crop": "center square", "interpolation": "bicubic"}
    fields |= {"canonical_short_side": 256, "frames_per_second": 2.0, "jpeg_quality": 90, "clip_seconds": 8.0}
    made = Preprocessing(**(fields | {"t_rel_sec": ""} | preprocessing))
    return ExportFacts(1, student, ["a", "b"] if classes is None else classes, "labels", 6, {"name": teacher}, made)
