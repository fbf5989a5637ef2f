"""What evaluations look like on a terminal: one student beside its teacher, or several beside each other.

Knows the keys of results and of comparisons, and how figures are written; computes none.
"""

from embedonce.pipeline.console.printable import block, one_line
from embedonce.pipeline.metrics.bootstrap_intervals import FEW_RECORDINGS, MIN_RECORDINGS

INTERVALS = "in brackets: 95 % interval over recordings"


def interval_remark(has_intervals: bool, num_recordings: int) -> str:
    """What a reader of intervals, or of none, must know."""
    if num_recordings < MIN_RECORDINGS:
        return f"no 95 % intervals: {num_recordings} recordings are too few to say ({MIN_RECORDINGS} are needed)"
    if not has_intervals:
        return f"no 95 % intervals: recordings do not differ, or fewer than {MIN_RECORDINGS} have labels"
    rough = f"; with only {num_recordings} it is rough: 91 to 99 % of such hold the truth"
    return INTERVALS + (rough if num_recordings <= FEW_RECORDINGS else "")


def comparison_table(results: dict) -> str:
    """Teacher and student side by side, a line for each figure; a dash where there is none."""
    teacher, student, comparison = results["teacher"], results["student"], results["comparison"]
    accuracies = [
        ("top-1", _rate(teacher, "top1"), _rate(student, "top1"), _drop(comparison)),
        ("top-5", _percent(teacher["top5"]), _percent(student["top5"]), ""),
    ]
    mean_class = ("mean class", _percent(teacher["mean_class_accuracy"]), _percent(student["mean_class_accuracy"]), "")
    rows = [
        ("", f"teacher {teacher['name']}", f"student {student['size']}", "comparison"),
        *([mean_class, *accuracies] if results.get("long_tail") else [*accuracies, mean_class]),
        *_verb_noun_rows(results.get("verb_noun")),
        ("calibration error", _error(teacher), _error(student), ""),
        ("zero-shot", "", _percent(student["zero_shot_top1"]), ""),
        ("agreement", "", _rate(comparison, "agreement"), ""),
        ("agreement@5", "", _percent(comparison["agreement_top5"]), ""),
        ("KL divergence", "", _unit(comparison["kl_divergence"], ".3f", " nats"), ""),
        ("cosine", "", _unit(comparison["embedding_cosine"], ".3f"), ""),
        *_cost_rows(teacher, student, comparison),
    ]
    intervals = (teacher["top1_interval"], student["top1_interval"], comparison["agreement_interval"])
    remark = interval_remark(any(intervals), results["num_videos"])
    judged = [*_reading(results), *_judged_in(results.get("environment", {}))]
    return block([_title(results), *_aligned(rows, rule=0), remark, *judged, *_reference(results["reference"])])


def _verb_noun_rows(found: dict | None) -> list[tuple[str, str, str, str]]:
    """Of the clips that have a verb and a noun."""
    if found is None:
        return []
    sides = found["teacher"], found["student"]
    of_clips = {"both": f"of {found['num_clips']} clips that have both"}
    rows = (("verb", "verb"), ("noun", "noun"), ("both", "verb and noun"))
    return [(told, *(_percent(side[name]) for side in sides), of_clips.get(name, "")) for name, told in rows]


def _reading(results: dict) -> list[str]:
    """What the figures are to be read beside."""
    majority, shared, lines = results.get("majority"), results.get("frames_in_several_clips"), []
    if majority is not None:
        of = "training" if majority["from"] == "train" else "these clips, for there are no labeled training clips"
        lines.append(
            f"always naming {majority['class']!r}, the most frequent class of {of}: top-1 "
            f"{_percent(majority['top1'])}, mean class {_percent(majority['mean_class_accuracy'])}"
        )
    if shared:
        lines.append(f"{_percent(shared)} of the frames lie in several of these clips, and may have several classes")
    comparable = results.get("comparable_with")
    return [*lines, *([comparable] if comparable else [])]


def _judged_in(environment: dict) -> list[str]:
    """In which precision, and where."""
    if "precision" not in environment:
        return []
    exports = "smaller formats are judged by export-student"
    return [f"student judged in {environment['precision']} on {environment['judged_on']}; {exports}"]


def _reference(found: dict | None) -> list[str]:
    """What the usual teacher would cost, where another one made the cache."""
    if found is None:
        return []
    costs = f"{_millions(found['parameters'])}, {found['bytes_on_disk'] / 1e6:.1f} MB, {_macs(found)} multiply-adds"
    return [
        f"{found['name']}, by its costs alone: {costs}, {_latency(found)}: {found['latency_ratio']:.1f}x the student's"
    ]


def _cost_rows(teacher: dict, student: dict, comparison: dict) -> list[tuple[str, str, str, str]]:
    """What both cost, and by how much the student costs less."""
    size_ratio = teacher["bytes_on_disk"]["image"] / student["bytes_on_disk"]["image"]
    parameters = _millions(teacher["parameters"]["image"]), _millions(student["parameters"]["deployed"])
    faster = _unit(comparison["latency_ratio"], ".1f", "x faster")
    return [
        ("parameters", *parameters, f"{comparison['compression']:.1f}x fewer"),
        ("on disk", _megabytes(teacher), _megabytes(student), f"{size_ratio:.1f}x smaller"),
        ("multiply-adds", _macs(teacher), _macs(student), _times(teacher["macs"], student["macs"], "fewer")),
        ("latency", _latency(teacher), _latency(student), faster),
        ("throughput", _throughput(teacher), _throughput(student), ""),
    ]


def students_table(comparison: dict) -> str:
    """The teacher and several students, a line for each; then their paired differences to the first student."""
    rows = [("", "top-1", "agreement", "calib. error", "parameters", "on disk", "latency")]
    for row in comparison["rows"]:
        rows.append(
            (
                ("teacher " if row["role"] == "teacher" else "") + row["name"],
                _bracketed(_percent(row["top1"]), row["top1_low"], row["top1_high"], 100),
                "" if row["role"] == "teacher" else _percent(row["agreement"]),
                _unit(row["calibration_error"], ".3f"),
                _millions(row["parameters"]),
                f"{row['bytes_on_disk'] / 1e6:.1f} MB",
                _unit(row["latency_p50_ms"], ".1f", " ms") if row["latency_p50_ms"] else "not timed",
            )
        )
    lines = [
        _title(comparison),
        *_aligned(rows, rule=0),
        "",
        f"difference in top-1 to {comparison['baseline']}, paired by clip",
    ]
    students = [row for row in comparison["rows"] if row["role"] == "student"]
    lines += _aligned([_difference(row) for row in students if row["name"] != comparison["baseline"]])
    ends = (row[name] for row in comparison["rows"] for name in ("top1_low", "difference_low"))
    remark = interval_remark(any(end is not None for end in ends), comparison["num_videos"])
    return block([*lines, "", remark, *comparison["remarks"]])


def _title(facts: dict) -> str:
    """Of results or of a comparison: on what they were judged."""
    judged = f"{facts['num_clips']} {facts['split']} clips of {facts['num_videos']} recordings"
    chance = f", chance {_percent(facts['chance'])}" if facts["chance"] else ""
    chance += f", majority class {_percent(facts['majority']['top1'])}" if facts.get("majority") else ""
    note = f" ({facts['note']})" if facts["note"] else ""
    return f"{judged}, {facts['num_classes']} classes{chance}{note}"


def _difference(row: dict) -> tuple[str, str]:
    if row["difference_points"] is None:
        return row["name"], f"- ({row['not_paired']})"
    points = f"{row['difference_points']:+.1f} points"
    return row["name"], _bracketed(points, row["difference_low"], row["difference_high"], 1, "+.1f")


def _aligned(rows: list[tuple[str, ...]], rule: int | None = None) -> list[str]:
    """Rows as lines, their columns under each other; a rule as long as the longest goes before line `rule`."""
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if rule is not None:
        lines.insert(rule, "-" * max(map(len, lines)))
    return lines


def _rate(figures: dict, name: str) -> str:
    low, high = figures[f"{name}_interval"] or (None, None)
    return _bracketed(_percent(figures[name]), low, high, 100)


def _drop(comparison: dict) -> str:
    """In the words of what happened, and its interval the same way round."""
    drop = comparison["accuracy_drop_points"]
    if drop is None:
        return "-"
    low, high = comparison["accuracy_drop_interval"] or (None, None)
    if drop < 0 and low is not None:
        low, high = -high, -low
    return _bracketed(f"{abs(drop):.1f} points {'gained' if drop < 0 else 'lost'}", low, high, 1)


def _bracketed(told: str, low: float | None, high: float | None, scale: float, form: str = ".1f") -> str:
    return told if low is None else f"{told} ({scale * low:{form}} to {scale * high:{form}})"


def _percent(share: float | None) -> str:
    return _unit(None if share is None else 100 * share, ".1f", " %")


def _unit(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _error(side: dict) -> str:
    return _unit(side["calibration_error"], ".3f")


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.2f} M"


def _megabytes(side: dict) -> str:
    return f"{side['bytes_on_disk']['image'] / 1e6:.1f} MB"


def _macs(side: dict) -> str:
    return _unit(side["macs"] and side["macs"] / 1e6, ",.0f", " M")


def _throughput(side: dict) -> str:
    return _unit(side["throughput_per_s"], ",.0f", " frames/s")


def _times(teacher: float | None, student: float | None, word: str) -> str:
    return f"{teacher / student:.1f}x {word}" if teacher and student else ""


def _latency(side: dict) -> str:
    return "not timed" if side["latency_ms"] is None else f"{side['latency_ms']['p50_ms']:.1f} ms"
