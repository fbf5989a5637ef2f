"""Tables for the terminal: one student compared with its teacher, or several students. Computes no figures."""

from collections.abc import Sequence

from embedonce.pipeline.console.printable import block, one_line
from embedonce.pipeline.metrics.bootstrap_intervals import FEW_RECORDINGS, MIN_RECORDINGS
from embedonce.pipeline.metrics.results_schema import (
    Comparison,
    Costs,
    EvaluationResults,
    Interval,
    Reference,
    StudentResults,
    TeacherResults,
    TextRetrieval,
    VerbNoun,
)
from embedonce.pipeline.reporting.comparison_rows import ComparisonRow, ComparisonTable
from embedonce.pipeline.reporting.retrieval_figures import Figure, retrieval_context, retrieval_figures

INTERVALS = "in brackets: 95 % interval over recordings"

Row = tuple[str, ...]
Model = TeacherResults | StudentResults


def interval_remark(has_intervals: bool, num_recordings: int) -> str:
    """How to read the intervals of a table, or why it has none."""
    if num_recordings < MIN_RECORDINGS:
        return f"no 95 % intervals: {num_recordings} recordings are too few ({MIN_RECORDINGS} are needed)"
    if not has_intervals:
        return f"no 95 % intervals: recordings do not differ, or fewer than {MIN_RECORDINGS} have labels"
    rough = f"; rough with only {num_recordings}: 91 to 99 % cover the true value"
    return INTERVALS + (rough if num_recordings <= FEW_RECORDINGS else "")


def comparison_table(results: EvaluationResults) -> str:
    """Teacher and student in columns, one line per figure; a dash for what was not measured."""
    teacher, student, comparison = results.teacher, results.student, results.comparison
    drop = _drop(comparison.accuracy_drop_points, comparison.accuracy_drop_interval)
    top = [
        ("top-1", _top1(teacher), _top1(student), drop),
        ("top-5", _percent(teacher.top5), _percent(student.top5), ""),
    ]
    mean_class = ("mean class", _mean_class(teacher), _mean_class(student), "")
    accuracies = [mean_class, *top] if results.long_tail else [*top, mean_class]
    agreement = _bracketed(_percent(comparison.agreement), comparison.agreement_interval, 100)
    rows: list[Row] = [
        ("", f"teacher {teacher.name}", f"student {student.size}", "comparison"),
        *(_precision_rows(results) if results.multi_label else accuracies),
        *_verb_noun_rows(results.verb_noun),
        *([] if results.multi_label else _one_label_rows(teacher, student)),
        *_retrieval_rows(results.retrieval),
        ("agreement", "", agreement, ""),
        ("agreement@5", "", _percent(comparison.agreement_top5), ""),
        ("KL divergence", "", _number(comparison.kl_divergence, ".3f", " nats"), ""),
        ("cosine", "", _number(comparison.embedding_cosine, ".3f"), ""),
        *_cost_rows(teacher, student, comparison),
    ]
    intervals = (teacher.top1_interval, student.top1_interval, student.map_interval, comparison.agreement_interval)
    remark = interval_remark(any(intervals), results.num_videos)
    remarks = [remark, *_context(results), *_precision(results.environment), *_reference(results.reference)]
    return block([_title(results), *_aligned(rows, rule=0), *remarks])


def _one_label_rows(teacher: TeacherResults, student: StudentResults) -> list[Row]:
    errors = (_number(model.calibration_error, ".3f") for model in (teacher, student))
    return [("calibration error", *errors, ""), ("zero-shot", "", _percent(student.zero_shot_top1), "")]


def _precision_rows(results: EvaluationResults) -> list[Row]:
    """The figures of clips with several labels, in place of accuracies."""
    models, comparison = (results.teacher, results.student), results.comparison
    macro = (_bracketed(_percent(model.mean_average_precision), model.map_interval, 100) for model in models)
    return [
        ("mAP", *macro, _drop(comparison.map_drop_points, comparison.map_drop_interval)),
        ("micro AP", *(_percent(model.micro_average_precision) for model in models), ""),
    ]


def _verb_noun_rows(verb_noun: VerbNoun | None) -> list[Row]:
    """Accuracies on the clips that have a verb and a noun."""
    if verb_noun is None:
        return []
    teacher, student = verb_noun.teacher, verb_noun.student
    return [
        ("verb", _percent(teacher.verb), _percent(student.verb), ""),
        ("noun", _percent(teacher.noun), _percent(student.noun), ""),
        ("verb and noun", _percent(teacher.both), _percent(student.both), f"of {verb_noun.num_clips} clips with both"),
    ]


def _retrieval_rows(retrieval: TextRetrieval | None) -> list[Row]:
    """Retrieval between clips and their texts."""
    rows: list[Row] = []
    for line in retrieval_figures(retrieval):
        if isinstance(line, Figure):
            shares = (_bracketed(_percent(share.value), share.interval, 100) for share in (line.teacher, line.student))
            rows.append((line.name, *shares, "" if line.drop is None else _drop(line.drop, line.drop_interval)))
        else:
            rows.append((line.name, f"{line.teacher:g}", f"{line.student:g}", ""))
    return rows


def _context(results: EvaluationResults) -> list[str]:
    """What the accuracies should be read against."""
    majority, shared, lines = results.majority, results.frames_in_several_clips, []
    if results.multi_label:
        lines.append(
            "clips have several labels: top-1, calibration, confusions and KL divergence are left out; agreement is on "
            "the class with the largest logit"
        )
    if majority is not None:
        clips = "the training clips" if majority.source == "train" else "these clips (no training clip has a label)"
        lines.append(
            f"always predicting {majority.class_name!r}, the most frequent class of {clips}: top-1 "
            f"{_percent(majority.top1)}, mean class {_percent(majority.mean_class_accuracy)}"
        )
    if shared:
        lines.append(f"{_percent(shared)} of the frames are in several of these clips, which may differ in class")
    return [*lines, *filter(None, [retrieval_context(results.retrieval), results.comparable_with])]


def _precision(environment: dict) -> list[str]:
    """In which precision, and on which device, the student was evaluated."""
    if "precision" not in environment:
        return []
    where = f"{environment['precision']} on {environment['judged_on']}"
    return [f"student evaluated in {where}; export-student evaluates float16 and int8 files"]


def _reference(reference: Reference | None) -> list[str]:
    """The costs of a common teacher, if another one made the cache."""
    if reference is None:
        return []
    costs = f"{_millions(reference.parameters)}, {reference.bytes_on_disk / 1e6:.1f} MB"
    costs += f", {_macs(reference)} multiply-adds, {_latency(reference)}"
    return [f"{reference.name} (cost reference only): {costs}: {reference.latency_ratio:.1f}x the student's"]


def _cost_rows(teacher: TeacherResults, student: StudentResults, comparison: Comparison) -> list[Row]:
    """The costs of both models, and how much lower the student's are."""
    size_ratio = teacher.bytes_on_disk.image / student.bytes_on_disk.image
    parameters = _millions(teacher.parameters.image), _millions(student.parameters["deployed"])
    faster = _number(comparison.latency_ratio, ".1f", "x faster")
    return [
        ("parameters", *parameters, f"{comparison.compression:.1f}x fewer"),
        ("on disk", _megabytes(teacher), _megabytes(student), f"{size_ratio:.1f}x smaller"),
        ("multiply-adds", _macs(teacher), _macs(student), _times(teacher.macs, student.macs, "fewer")),
        ("latency", _latency(teacher), _latency(student), faster),
        ("throughput", _throughput(teacher), _throughput(student), ""),
    ]


def students_table(table: ComparisonTable) -> str:
    """One line for the teacher and for each student, then the paired differences to the first student."""
    figure = "mAP" if table.multi_label else "top-1"
    head = ("", figure, "agreement", "calib. error", "parameters", "on disk", "latency")
    rows: list[Row] = [head, *map(_model_row, table.rows)]
    others = [row for row in table.students if row.name != table.baseline]
    has_intervals = any(end is not None for r in table.rows for end in (r.top1_low, r.map_low, r.difference_low))
    return block(
        [
            _title(table),
            *_aligned(rows, rule=0),
            "",
            f"difference in {figure} to {table.baseline}, paired by clip",
            *_aligned([_difference(row) for row in others]),
            "",
            interval_remark(has_intervals, table.num_videos),
            *table.remarks,
        ]
    )


def _model_row(row: ComparisonRow) -> Row:
    is_teacher = row.role == "teacher"
    figure = _bracketed(_percent(row.top1), _interval(row.top1_low, row.top1_high), 100)
    if row.mean_average_precision is not None:
        figure = _bracketed(_percent(row.mean_average_precision), _interval(row.map_low, row.map_high), 100)
    return (
        f"teacher {row.name}" if is_teacher else row.name,
        figure,
        "" if is_teacher else _percent(row.agreement),
        _number(row.calibration_error, ".3f"),
        _millions(row.parameters),
        f"{row.bytes_on_disk / 1e6:.1f} MB",
        _number(row.latency_p50_ms, ".1f", " ms") if row.latency_p50_ms else "not timed",
    )


def _title(facts: EvaluationResults | ComparisonTable) -> str:
    """Which clips and classes the evaluation is on."""
    clips = f"{facts.num_clips} {facts.split} clips of {facts.num_videos} recordings"
    chance = f", chance {_percent(facts.chance)}" if facts.chance else ""
    chance += f", majority class {_percent(facts.majority.top1)}" if facts.majority else ""
    note = f" ({facts.note})" if facts.note else ""
    return f"{clips}, {facts.num_classes} classes{chance}{note}"


def _difference(row: ComparisonRow) -> Row:
    if row.difference_points is None:
        return row.name, f"- ({row.not_paired})"
    interval = _interval(row.difference_low, row.difference_high)
    return row.name, _bracketed(f"{row.difference_points:+.1f} points", interval, 1, "+.1f")


def _aligned(rows: Sequence[Row], rule: int | None = None) -> list[str]:
    """Rows as lines with aligned columns; a rule as long as the longest line goes before line `rule`."""
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if rule is not None:
        lines.insert(rule, "-" * max(map(len, lines)))
    return lines


def _top1(model: Model) -> str:
    return _bracketed(_percent(model.top1), model.top1_interval, 100)


def _mean_class(model: Model) -> str:
    return _bracketed(_percent(model.mean_class_accuracy), model.mean_class_interval, 100)


def _drop(drop: float | None, interval: Interval | None) -> str:
    """Points lost or gained, with an interval of the same sign."""
    if drop is None:
        return "-"
    if drop < 0 and interval is not None:
        interval = (-interval[1], -interval[0])
    return _bracketed(f"{abs(drop):.1f} points {'gained' if drop < 0 else 'lost'}", interval, 1)


def _interval(low: float | None, high: float | None) -> Interval | None:
    return None if low is None or high is None else (low, high)


def _bracketed(figure: str, interval: Interval | None, scale: float, form: str = ".1f") -> str:
    """A figure, followed by its interval in brackets."""
    return figure if interval is None else f"{figure} ({scale * interval[0]:{form}} to {scale * interval[1]:{form}})"


def _percent(share: float | None) -> str:
    return _number(None if share is None else 100 * share, ".1f", " %")


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.2f} M"


def _megabytes(model: Model) -> str:
    return f"{model.bytes_on_disk.image / 1e6:.1f} MB"


def _macs(costs: Costs) -> str:
    return _number(costs.macs and costs.macs / 1e6, ",.0f", " M")


def _throughput(costs: Costs) -> str:
    return _number(costs.throughput_per_s, ",.0f", " frames/s")


def _times(teacher: float | None, student: float | None, word: str) -> str:
    return f"{teacher / student:.1f}x {word}" if teacher and student else ""


def _latency(costs: Costs) -> str:
    return "not timed" if costs.latency_ms is None else f"{costs.latency_ms.p50_ms:.1f} ms"
