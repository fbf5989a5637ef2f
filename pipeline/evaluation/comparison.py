"""Several evaluations beside each other: whether they may be, the rows of the table, paired differences.

Pure arithmetic on results and predictions; reads and writes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.errors import ResultsError
from embedonce.pipeline.metrics.bootstrap_intervals import paired_difference
from embedonce.pipeline.naming.uids import recording_of

LATENCY_REMARK = "latency: median of one frame at a time, each timed in its own run; compare runs of one idle machine"
_PLACE = ("machine", "cpu_count", "threads", "device", "runtime")  # what latency depends on, as far as it is known

_COSTS = ("latency_ms", "throughput_per_s", "macs", "peak_memory_bytes")
_COMPARED = ("agreement", "agreement_top5", "kl_divergence", "embedding_cosine", "accuracy_drop_points", "compression")


@dataclass(frozen=True)
class Entry:
    """One evaluation. name: unique, of letters, digits, `.`, `_` and `-`. predictions: of predictions.npz, or None."""

    name: str
    source: str
    results: dict
    predictions: dict[str, np.ndarray] | None


def check_comparable(entries: list[Entry]) -> None:
    """ResultsError, in one sentence, where evaluations do not judge the same thing."""
    checks: list[tuple[str, Callable[[dict], object]]] = [
        ("the classes", lambda r: f"{len(r['classes'])}: {_brief(r['classes'])}"),
        ("the teacher", lambda r: "{name} (weights {weights}, {head} head)".format(**r["teacher"])),
        ("the split", lambda r: r["split"]),
        ("the number of clips", lambda r: f"{r['num_clips']}, {r['num_labelled_clips']} of them labeled"),
        ("the number of recordings", lambda r: r["num_videos"]),
    ]
    first = entries[0]
    for other in entries[1:]:
        for what, told in checks:
            ours, theirs = told(first.results), told(other.results)
            if ours != theirs:
                raise ResultsError(
                    f"{first.source} and {other.source} cannot be compared: they differ in {what} ({ours} / {theirs}); "
                    "evaluate both on the same clips of one cache"
                )
        if first.results["classes"] != other.results["classes"]:
            number, ours, theirs = _first_difference(first.results["classes"], other.results["classes"])
            raise ResultsError(
                f"{first.source} and {other.source} cannot be compared: class {number} is {ours!r} in one and "
                f"{theirs!r} in the other; evaluate both with one label set"
            )


def compare(entries: list[Entry]) -> dict:
    """What comparison.json holds: facts that all share, a row for the teacher and for each student, remarks."""
    first = entries[0].results
    rows = [_teacher_row(entries), *(_student_row(entry, entries[0]) for entry in entries)]
    shared = ("note", "split", "num_clips", "num_videos", "num_labelled_clips", "num_classes", "chance", "majority")
    facts = {name: first.get(name) for name in shared}
    return {"schema_version": 1, **facts, "baseline": entries[0].name, "rows": rows, "remarks": _remarks(entries)}


def _teacher_row(entries: list[Entry]) -> dict:
    """The teacher of the first evaluation, with the costs of the first that timed it."""
    teacher = entries[0].results["teacher"]
    timed = next((e.results["teacher"] for e in entries if e.results["teacher"]["latency_ms"]), teacher)
    return {
        **{"role": "teacher", "name": teacher["name"], "source": entries[0].source, "size": teacher["name"]},
        **_figures(teacher | {name: timed[name] for name in _COSTS}, teacher["parameters"]["image"]),
        **dict.fromkeys(("zero_shot_top1", *_COMPARED)),
        **_no_difference(None),
    }


def _student_row(entry: Entry, first: Entry) -> dict:
    student, comparison = entry.results["student"], entry.results["comparison"]
    return {
        **{"role": "student", "name": entry.name, "source": entry.source, "size": student["size"]},
        **_figures(student, student["parameters"]["deployed"]),
        "zero_shot_top1": student["zero_shot_top1"],
        **{name: comparison[name] for name in _COMPARED},
        **(_no_difference(None) if entry is first else _paired(entry, first)),
    }


def _figures(side: dict, parameters: int) -> dict:
    low, high = side["top1_interval"] or (None, None)
    latency = side["latency_ms"] or {}
    return {
        "top1": side["top1"],
        "top1_low": low,
        "top1_high": high,
        **{name: side[name] for name in ("top5", "mean_class_accuracy", "calibration_error")},
        "parameters": parameters,
        "bytes_on_disk": side["bytes_on_disk"]["image"],
        "latency_p50_ms": latency.get("p50_ms"),
        "latency_p95_ms": latency.get("p95_ms"),
        **{name: side[name] for name in ("throughput_per_s", "macs", "peak_memory_bytes")},
    }


def _paired(entry: Entry, first: Entry) -> dict:
    """Difference in top-1 to the first, in points, where both have judged the very same clips."""
    if entry.predictions is None or first.predictions is None:
        return _no_difference("no predictions.npz beside both")
    ours, theirs = _in_order(entry.predictions), _in_order(first.predictions)
    if any(not np.array_equal(ours[name], theirs[name]) for name in ("video_uid", "start_sec", "end_sec", "labels")):
        return _no_difference("other clips were judged")
    labeled = ours["labels"] >= 0
    if not labeled.any():
        return _no_difference("no clip has a label")
    right = [(side["logits"].argmax(1) == side["labels"])[labeled] for side in (ours, theirs)]
    recordings = [recording_of(uid) for uid in ours["video_uid"][labeled].tolist()]
    points, interval = paired_difference(*right, recordings)
    low, high = interval or (None, None)
    return {
        "difference_points": 100 * points,
        "difference_low": low if low is None else 100 * low,
        "difference_high": high if high is None else 100 * high,
        "not_paired": None,
    }


def _in_order(predictions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same predictions, by video, time and label."""
    keys = [predictions[name] for name in ("labels", "end_sec", "start_sec", "video_uid")]
    order = np.lexsort(keys)
    return {name: predictions[name][order] for name in ("video_uid", "start_sec", "end_sec", "labels", "logits")}


def _no_difference(why: str | None) -> dict:
    return {**dict.fromkeys(("difference_points", "difference_low", "difference_high")), "not_paired": why}


def _remarks(entries: list[Entry]) -> list[str]:
    """What a reader of the table must know: one sentence each."""
    places = {tuple(str(e.results["environment"].get(name)) for name in _PLACE) for e in entries}
    remarks = [LATENCY_REMARK + ("" if len(places) == 1 else ", which these are not")]
    if len({entry.results["teacher"]["top1"] for entry in entries}) > 1:
        told = ", ".join(f"{100 * (entry.results['teacher']['top1'] or 0):.1f} %" for entry in entries)
        remarks.append(
            f"the teacher's top-1 is {told}: it was shown the frames of each student; the row is the first's"
        )
    return remarks


def _brief(classes: list[str]) -> str:
    return ", ".join(classes[:3]) + (", …" if len(classes) > 3 else "")


def _first_difference(ours: list[str], theirs: list[str]) -> tuple[int, str, str]:
    return next((i, a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
