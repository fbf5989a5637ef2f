"""Compare several evaluations: check that they are comparable, and compute the table with paired differences.

Pure arithmetic on results and predictions; reads and writes nothing.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from embedonce.pipeline.errors import ResultsError
from embedonce.pipeline.evaluation.predictions import StoredPredictions
from embedonce.pipeline.metrics.bootstrap_intervals import paired_difference
from embedonce.pipeline.metrics.results_schema import EvaluationResults, StudentResults, TeacherResults
from embedonce.pipeline.naming.uids import recording_of
from embedonce.pipeline.reporting.comparison_rows import ComparisonRow, ComparisonTable, Difference

SCHEMA_VERSION = 1
LATENCY_REMARK = "latency: median of one frame at a time, each timed in its own run; compare runs of one idle machine"
_TIMING = ("machine", "cpu_count", "threads", "device", "runtime")  # what latency depends on, as far as it is known


@dataclass(frozen=True)
class Entry:
    """One evaluation. name: unique, of letters, digits, `.`, `_` and `-`. predictions: of predictions.npz, or None."""

    name: str
    source: str
    results: EvaluationResults
    predictions: StoredPredictions | None


def check_comparable(entries: list[Entry]) -> None:
    """ResultsError, in one sentence, if the evaluations are not of the same classes, teacher, split and clips."""
    checks: list[tuple[str, Callable[[EvaluationResults], object]]] = [
        ("the classes", lambda r: f"{len(r.classes)}: {_shortened(r.classes)}"),
        ("labels per clip", lambda r: "several" if r.multi_label else "one"),
        ("the teacher", lambda r: f"{r.teacher.name} (weights {r.teacher.weights}, {r.teacher.head} head)"),
        ("the split", lambda r: r.split),
        ("the number of clips", lambda r: f"{r.num_clips}, {r.num_labelled_clips} of them labeled"),
        ("the number of recordings", lambda r: r.num_videos),
    ]
    first = entries[0]
    for other in entries[1:]:
        for aspect, describe in checks:
            ours, theirs = describe(first.results), describe(other.results)
            if ours != theirs:
                raise ResultsError(
                    f"{first.source} and {other.source} cannot be compared: they differ in {aspect} ({ours} / "
                    f"{theirs}); evaluate both on the same clips of one cache"
                )
        if first.results.classes != other.results.classes:
            number, ours, theirs = _first_difference(first.results.classes, other.results.classes)
            raise ResultsError(
                f"{first.source} and {other.source} cannot be compared: class {number} is {ours!r} in one and "
                f"{theirs!r} in the other; evaluate both with one label set"
            )


def compare(entries: list[Entry]) -> ComparisonTable:
    """The contents of comparison.json: a row for the teacher and for each student, and remarks on the table."""
    first, note = entries[0].results, _shared_note(entries)
    return ComparisonTable(
        schema_version=SCHEMA_VERSION,
        note=note,
        split=first.split,
        num_clips=first.num_clips,
        num_videos=first.num_videos,
        num_labelled_clips=first.num_labelled_clips,
        num_classes=first.num_classes,
        multi_label=first.multi_label,
        chance=first.chance,
        majority=first.majority,
        baseline=entries[0].name,
        rows=[_teacher_row(entries), *(_student_row(entry, entries[0]) for entry in entries)],
        remarks=[*_remarks(entries), *_own_notes(entries, note)],
    )


def _teacher_row(entries: list[Entry]) -> ComparisonRow:
    """The teacher of the first evaluation, with the costs of the first evaluation that timed it."""
    teacher = entries[0].results.teacher
    timed = next((entry.results.teacher for entry in entries if entry.results.teacher.latency_ms), teacher)
    costs = ("latency_ms", "throughput_per_s", "macs", "peak_memory_bytes")
    teacher = replace(teacher, **{name: getattr(timed, name) for name in costs})
    return ComparisonRow(
        role="teacher",
        name=teacher.name,
        source=entries[0].source,
        size=teacher.name,
        parameters=teacher.parameters.image,
        **_figures(teacher),
    )


def _student_row(entry: Entry, first: Entry) -> ComparisonRow:
    student, compared = entry.results.student, entry.results.comparison
    difference = Difference() if entry is first else _paired(entry, first)
    if entry is not first and student.mean_average_precision is not None:
        difference = Difference(not_paired="not computed for mAP")
    return ComparisonRow(
        role="student",
        name=entry.name,
        source=entry.source,
        size=student.size,
        parameters=student.parameters["deployed"],
        zero_shot_top1=student.zero_shot_top1,
        agreement=compared.agreement,
        agreement_top5=compared.agreement_top5,
        kl_divergence=compared.kl_divergence,
        embedding_cosine=compared.embedding_cosine,
        accuracy_drop_points=compared.accuracy_drop_points,
        compression=compared.compression,
        **_figures(student),
        **asdict(difference),
    )


def _figures(model: TeacherResults | StudentResults) -> dict:
    """The columns that the rows of teacher and students share."""
    low, high = model.top1_interval or (None, None)
    mean_class_low, mean_class_high = model.mean_class_interval or (None, None)
    map_low, map_high = model.map_interval or (None, None)
    latency = model.latency_ms
    return {
        "top1": model.top1,
        "top1_low": low,
        "top1_high": high,
        "top5": model.top5,
        "mean_class_accuracy": model.mean_class_accuracy,
        "mean_class_low": mean_class_low,
        "mean_class_high": mean_class_high,
        "mean_average_precision": model.mean_average_precision,
        "map_low": map_low,
        "map_high": map_high,
        "calibration_error": model.calibration_error,
        "bytes_on_disk": model.bytes_on_disk.image,
        "latency_p50_ms": latency and latency.p50_ms,
        "latency_p95_ms": latency and latency.p95_ms,
        "throughput_per_s": model.throughput_per_s,
        "macs": model.macs,
        "peak_memory_bytes": model.peak_memory_bytes,
    }


def _paired(entry: Entry, first: Entry) -> Difference:
    """Difference in top-1 to the first evaluation, in points, if both are of the very same clips."""
    if entry.predictions is None or first.predictions is None:
        return Difference(not_paired="predictions.npz is missing")
    ours, theirs = _in_order(entry.predictions), _in_order(first.predictions)
    clips = ("video_uid", "start_sec", "end_sec", "labels")
    if any(not np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in clips):
        return Difference(not_paired="evaluated on other clips")
    labeled = ours.labels >= 0
    if not labeled.any():
        return Difference(not_paired="no clip has a label")
    ours_right, theirs_right = ((stored.logits.argmax(1) == stored.labels)[labeled] for stored in (ours, theirs))
    recordings = [recording_of(uid) for uid in ours.video_uid[labeled].tolist()]
    points, interval = paired_difference(ours_right, theirs_right, recordings)
    if interval is None:
        return Difference(difference_points=100 * points)
    return Difference(100 * points, 100 * interval[0], 100 * interval[1])


def _in_order(predictions: StoredPredictions) -> StoredPredictions:
    """The same predictions, ordered by video, time and label."""
    order = np.lexsort((predictions.labels, predictions.end_sec, predictions.start_sec, predictions.video_uid))
    return StoredPredictions(*(getattr(predictions, item.name)[order] for item in fields(StoredPredictions)))


def _remarks(entries: list[Entry]) -> list[str]:
    """What a reader of the table must know, one sentence each."""
    timings = {tuple(str(entry.results.environment.get(name)) for name in _TIMING) for entry in entries}
    remarks = [LATENCY_REMARK + ("" if len(timings) == 1 else ", which these are not")]
    if len({entry.results.teacher.top1 for entry in entries}) > 1:
        figures = ", ".join(f"{100 * (entry.results.teacher.top1 or 0):.1f} %" for entry in entries)
        remarks.append(
            f"the teacher's top-1 is {figures}: it depends on the frames that each student was given; the row shows "
            "that of the first evaluation"
        )
    return remarks


def _shared_note(entries: list[Entry]) -> str | None:
    """The note if all evaluations have the same one."""
    notes = {entry.results.note for entry in entries}
    return notes.pop() if len(notes) == 1 else None


def _own_notes(entries: list[Entry], shared: str | None) -> list[str]:
    """The note of each evaluation that has one, if they are not all the same."""
    noted = [] if shared is not None else [entry for entry in entries if entry.results.note is not None]
    return [f"{entry.name}: {entry.results.note}" for entry in noted]


def _shortened(classes: list[str]) -> str:
    return ", ".join(classes[:3]) + (", …" if len(classes) > 3 else "")


def _first_difference(ours: list[str], theirs: list[str]) -> tuple[int, str, str]:
    return next((i, a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
