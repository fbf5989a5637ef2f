"""Tables for the terminal: one student compared with its teacher, or several students. Computes no figures."""

from collections.abc import Sequence

from embedonce.pipeline.console.printable import block, one_line
from embedonce.pipeline.metrics.bootstrap_intervals import FEW_RECORDINGS, MIN_RECORDINGS
from embedonce.pipeline.metrics.results_schema import (
    Comparison,
    EvaluationResults,
    Reference,
    StudentResults,
    TeacherResults,
    TextRetrieval,
    VerbNoun,
)
from embedonce.pipeline.reporting.comparison_rows import ComparisonRow, ComparisonTable
from embedonce.pipeline.reporting.figure_texts import (
    bracketed,
    calibrated_text,
    drop_text,
    interval_of,
    latency_text,
    macs_text,
    mean_class_text,
    megabytes_text,
    millions_text,
    number_text,
    percent_text,
    throughput_text,
    times_text,
    top1_text,
)
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
    drop = drop_text(comparison.accuracy_drop_points, comparison.accuracy_drop_interval)
    top = [
        ("top-1", top1_text(teacher), top1_text(student), drop),
        ("top-5", percent_text(teacher.top5), percent_text(student.top5), ""),
    ]
    mean_class = ("mean class", mean_class_text(teacher), mean_class_text(student), "")
    accuracies = [mean_class, *top] if results.long_tail else [*top, mean_class]
    agreement = bracketed(percent_text(comparison.agreement), comparison.agreement_interval, 100)
    rows: list[Row] = [
        ("", f"teacher {teacher.name}", f"student {student.size}", "comparison"),
        *(_precision_rows(results) if results.multi_label else accuracies),
        *_verb_noun_rows(results.verb_noun),
        *([] if results.multi_label else _one_label_rows(teacher, student)),
        *_retrieval_rows(results.retrieval),
        ("agreement", "", agreement, ""),
        ("agreement@5", "", percent_text(comparison.agreement_top5), ""),
        ("KL divergence", "", number_text(comparison.kl_divergence, ".3f", " nats"), ""),
        ("cosine", "", number_text(comparison.embedding_cosine, ".3f"), ""),
        *_cost_rows(teacher, student, comparison),
    ]
    intervals = (teacher.top1_interval, student.top1_interval, student.map_interval, comparison.agreement_interval)
    remark = interval_remark(any(intervals), results.num_videos)
    remarks = [remark, *_context(results), *_precision(results.environment), *_reference(results.reference)]
    return block([_title(results), *_aligned(rows, rule=0), *remarks])


def _one_label_rows(teacher: TeacherResults, student: StudentResults) -> list[Row]:
    errors = (number_text(model.calibration_error, ".3f") for model in (teacher, student))
    return [("calibration error", *errors, ""), ("zero-shot", "", percent_text(student.zero_shot_top1), "")]


def _precision_rows(results: EvaluationResults) -> list[Row]:
    """The figures of clips with several labels, in place of accuracies."""
    models, comparison = (results.teacher, results.student), results.comparison
    macro = (bracketed(percent_text(model.mean_average_precision), model.map_interval, 100) for model in models)
    return [
        ("mAP", *macro, drop_text(comparison.map_drop_points, comparison.map_drop_interval)),
        ("micro AP", *(percent_text(model.micro_average_precision) for model in models), ""),
    ]


def _verb_noun_rows(verb_noun: VerbNoun | None) -> list[Row]:
    """Accuracies on the clips that have a verb and a noun."""
    if verb_noun is None:
        return []
    teacher, student = verb_noun.teacher, verb_noun.student
    both = f"of {verb_noun.num_clips} clips with both"
    return [
        ("verb", percent_text(teacher.verb), percent_text(student.verb), ""),
        ("noun", percent_text(teacher.noun), percent_text(student.noun), ""),
        ("verb and noun", percent_text(teacher.both), percent_text(student.both), both),
    ]


def _retrieval_rows(retrieval: TextRetrieval | None) -> list[Row]:
    """Retrieval between clips and their texts."""
    rows: list[Row] = []
    for line in retrieval_figures(retrieval):
        if isinstance(line, Figure):
            models = (line.teacher, line.student)
            shares = (bracketed(percent_text(share.value), share.interval, 100) for share in models)
            rows.append((line.name, *shares, "" if line.drop is None else drop_text(line.drop, line.drop_interval)))
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
            f"{percent_text(majority.top1)}, mean class {percent_text(majority.mean_class_accuracy)}"
        )
    if shared:
        lines.append(f"{percent_text(shared)} of the frames are in several of these clips, which may differ in class")
    sentences = [calibrated_text(results.calibrated), retrieval_context(results.retrieval), results.comparable_with]
    return [*lines, *filter(None, sentences)]


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
    costs = f"{millions_text(reference.parameters)}, {reference.bytes_on_disk / 1e6:.1f} MB"
    costs += f", {macs_text(reference)} multiply-adds, {latency_text(reference)}"
    return [f"{reference.name} (cost reference only): {costs}: {reference.latency_ratio:.1f}x the student's"]


def _cost_rows(teacher: TeacherResults, student: StudentResults, comparison: Comparison) -> list[Row]:
    """The costs of both models, and how much lower the student's are."""
    size_ratio = teacher.bytes_on_disk.image / student.bytes_on_disk.image
    parameters = millions_text(teacher.parameters.image), millions_text(student.parameters["deployed"])
    faster = number_text(comparison.latency_ratio, ".1f", "x faster")
    return [
        ("parameters", *parameters, f"{comparison.compression:.1f}x fewer"),
        ("on disk", megabytes_text(teacher), megabytes_text(student), f"{size_ratio:.1f}x smaller"),
        ("multiply-adds", macs_text(teacher), macs_text(student), times_text(teacher.macs, student.macs, "fewer")),
        ("latency", latency_text(teacher), latency_text(student), faster),
        ("throughput", throughput_text(teacher), throughput_text(student), ""),
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
    figure = bracketed(percent_text(row.top1), interval_of(row.top1_low, row.top1_high), 100)
    if row.mean_average_precision is not None:
        figure = bracketed(percent_text(row.mean_average_precision), interval_of(row.map_low, row.map_high), 100)
    return (
        f"teacher {row.name}" if is_teacher else row.name,
        figure,
        "" if is_teacher else percent_text(row.agreement),
        number_text(row.calibration_error, ".3f"),
        millions_text(row.parameters),
        f"{row.bytes_on_disk / 1e6:.1f} MB",
        number_text(row.latency_p50_ms, ".1f", " ms") if row.latency_p50_ms else "not timed",
    )


def _title(facts: EvaluationResults | ComparisonTable) -> str:
    """Which clips and classes the evaluation is on."""
    clips = f"{facts.num_clips} {facts.split} clips of {facts.num_videos} recordings"
    chance = f", chance {percent_text(facts.chance)}" if facts.chance else ""
    chance += f", majority class {percent_text(facts.majority.top1)}" if facts.majority else ""
    note = f" ({facts.note})" if facts.note else ""
    return f"{clips}, {facts.num_classes} classes{chance}{note}"


def _difference(row: ComparisonRow) -> Row:
    if row.difference_points is None:
        return row.name, f"- ({row.not_paired})"
    interval = interval_of(row.difference_low, row.difference_high)
    return row.name, bracketed(f"{row.difference_points:+.1f} points", interval, 1, "+.1f")


def _aligned(rows: Sequence[Row], rule: int | None = None) -> list[str]:
    """Rows as lines with aligned columns; a rule as long as the longest line goes before line `rule`."""
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if rule is not None:
        lines.insert(rule, "-" * max(map(len, lines)))
    return lines
