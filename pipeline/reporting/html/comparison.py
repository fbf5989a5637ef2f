"""Student and teacher in one sentence and in one table. Pure: results in, markup out.

A figure that is None is shown as not measured.
"""

from html import escape

from embedonce.pipeline.metrics.results_schema import (
    Comparison,
    Costs,
    EvaluationResults,
    Interval,
    StudentResults,
    TeacherResults,
    TextRetrieval,
    VerbNoun,
)
from embedonce.pipeline.reporting.figure_texts import calibrated_text
from embedonce.pipeline.reporting.html.markup import (
    NOT_APPLICABLE,
    NOT_MEASURED,
    Cell,
    megabytes,
    millions,
    number,
    percent,
    table,
    times,
)
from embedonce.pipeline.reporting.retrieval_figures import Figure, retrieval_context, retrieval_figures

LISTED = ("deployed", "training")  # the other parameters are parts of these
Row = tuple[Cell, ...]


def headline(results: EvaluationResults) -> str:
    """The main result as one sentence of text, from those figures that were measured."""
    teacher, student, compared = results.teacher, results.student, results.comparison
    ratios = [
        times(compared.compression, "fewer parameters", "more parameters"),
        times(compared.latency_ratio, "faster", "slower"),
    ]
    if student.top1 is not None and teacher.top1 is not None:
        drop = f"{points(compared.accuracy_drop_points)}{_interval_of_points(compared.accuracy_drop_interval)}"
        rest = ", ".join(filter(None, [drop, *ratios]))
        return f"Top-1 {percent(student.top1)}, and {percent(teacher.top1)} for the teacher: {rest}."
    if student.mean_average_precision is not None and teacher.mean_average_precision is not None:
        drop = f"{points(compared.map_drop_points)}{_interval_of_points(compared.map_drop_interval)}"
        rest = ", ".join(filter(None, [drop, *ratios]))
        own, theirs = (percent(model.mean_average_precision) for model in (student, teacher))
        return f"Mean average precision {own}, and {theirs} for the teacher: {rest}."
    parts = [f"top-1 {percent(student.top1)}"] if student.top1 is not None else []
    if compared.agreement is not None:
        parts.append(f"agrees with the teacher on {percent(compared.agreement)} of the clips")
    if compared.embedding_cosine is not None:
        parts.append(f"cosine with the teacher's embeddings {compared.embedding_cosine:.3f}")
    sentence = ", ".join([*parts, *filter(None, ratios)]) or "nothing could be measured"
    return f"{sentence[0].upper()}{sentence[1:]}."


def comparison_table(results: EvaluationResults) -> str:
    """All figures of both models."""
    teacher, student, compared = results.teacher, results.student, results.comparison
    rows = [
        *_accuracy_rows(results),
        *_retrieval_rows(results.retrieval),
        *_fidelity_rows(compared),
        *_size_rows(teacher, student, compared),
        *_cost_rows(teacher, student, compared),
    ]
    head = ("", f"teacher {escape(teacher.name)}", f"student {escape(student.size)}", "comparison")
    sentences = filter(None, (calibrated_text(results.calibrated), retrieval_context(results.retrieval)))
    context = "".join(f"<p>{escape(sentence[0].upper() + sentence[1:])}.</p>" for sentence in sentences)
    return table(head, rows, "Student and teacher; small print: 95 % intervals") + context + _reference_table(results)


def _reference_table(results: EvaluationResults) -> str:
    """The costs of CLIP's ViT-B/32, which was not evaluated."""
    reference = results.reference
    if reference is None:
        return ""
    latency = reference.latency_ms
    p50, p95 = (latency.p50_ms, latency.p95_ms) if latency else (None, None)
    cells = (
        escape(reference.name),
        millions(reference.parameters),
        megabytes(reference.bytes_on_disk),
        millions(reference.macs),
        f"{number(p50, '.1f', ' ms')}<small>{number(p95, '.1f', ' ms')}</small>",
        number(reference.throughput_per_s, ",.1f", " / s"),
        times(reference.latency_ratio, "faster", "slower"),
    )
    head = (
        "cost reference only",
        "parameters",
        "on disk",
        "multiply-adds",
        "latency, p50 and p95",
        "throughput",
        "the student is",
    )
    return table(head, [cells], "Costs of a common teacher")


def points(drop: float | None) -> str:
    """A difference in percentage points, as lost or gained."""
    if drop is None:
        return NOT_MEASURED
    return f"{abs(drop):.1f} points {'gained' if drop < 0 else 'lost'}"


def _interval_of_points(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = interval
    if low < 0 < high:
        return f" (95 % interval: {-low:.1f} gained to {high:.1f} lost)"
    low, high = sorted((abs(low), abs(high)))
    return f" (95 % interval: {low:.1f} to {high:.1f})"


def _with_interval(share: float | None, interval: Interval | None) -> str:
    if share is None or interval is None:
        return percent(share)
    return f"{percent(share)}<small>{100 * interval[0]:.1f} to {100 * interval[1]:.1f}</small>"


def _drop(drop: float | None, interval: Interval | None) -> str:
    """Points lost or gained, with the interval below."""
    text = _interval_of_points(interval).removeprefix(" (").removesuffix(")")
    return points(drop) + (f"<small>{text}</small>" if text else "")


def _precision_rows(results: EvaluationResults) -> list[Row]:
    """The figures of clips with several labels, in place of accuracies."""
    models, compared = (results.teacher, results.student), results.comparison
    macro = (_with_interval(model.mean_average_precision, model.map_interval) for model in models)
    micro = (percent(model.micro_average_precision) for model in models)
    drop = _drop(compared.map_drop_points, compared.map_drop_interval)
    return [("mean average precision (mAP)", *macro, drop), ("micro average precision", *micro, "")]


def _accuracy_rows(results: EvaluationResults) -> list[Row]:
    teacher, student, compared = results.teacher, results.student, results.comparison
    models = (teacher, student)
    if results.multi_label:
        return _precision_rows(results)
    drop = _drop(compared.accuracy_drop_points, compared.accuracy_drop_interval)
    top: list[Row] = [
        ("top-1 accuracy", *(_with_interval(model.top1, model.top1_interval) for model in models), drop),
        ("top-5 accuracy", *(percent(model.top5) for model in models), ""),
    ]
    by_class = (_with_interval(model.mean_class_accuracy, model.mean_class_interval) for model in models)
    mean_class: Row = ("mean class accuracy", *by_class, "")
    return [
        *([mean_class, *top] if results.long_tail else [*top, mean_class]),
        *_verb_noun_rows(results.verb_noun),
        ("zero-shot top-1", NOT_APPLICABLE, percent(student.zero_shot_top1), ""),
        ("calibration error (ECE)", *(number(model.calibration_error, ".3f") for model in models), ""),
    ]


def _verb_noun_rows(verb_noun: VerbNoun | None) -> list[Row]:
    """Accuracies on the clips that have a verb and a noun."""
    if verb_noun is None:
        return []
    teacher, student, clips = verb_noun.teacher, verb_noun.student, f"of {verb_noun.num_clips} clips"
    return [
        (f"verb, {clips}", percent(teacher.verb), percent(student.verb), ""),
        (f"noun, {clips}", percent(teacher.noun), percent(student.noun), ""),
        (f"verb and noun together, {clips}", percent(teacher.both), percent(student.both), ""),
    ]


def _retrieval_rows(retrieval: TextRetrieval | None) -> list[Row]:
    """Retrieval between clips and their texts."""
    rows: list[Row] = []
    for line in retrieval_figures(retrieval):
        if isinstance(line, Figure):
            shares = (_with_interval(share.value, share.interval) for share in (line.teacher, line.student))
            rows.append((line.name, *shares, "" if line.drop is None else _drop(line.drop, line.drop_interval)))
        else:
            rows.append((line.name, number(line.teacher, "g"), number(line.student, "g"), ""))
    return rows


def _fidelity_rows(compared: Comparison) -> list[Row]:
    agreement = _with_interval(compared.agreement, compared.agreement_interval)
    return [
        ("agreement (same top-1 class)", NOT_APPLICABLE, agreement, ""),
        ("agreement@5 (in the student's top 5)", NOT_APPLICABLE, percent(compared.agreement_top5), ""),
        ("KL divergence from the teacher", NOT_APPLICABLE, number(compared.kl_divergence, ".3f", " nats"), ""),
        ("cosine of embeddings", NOT_APPLICABLE, number(compared.embedding_cosine, ".3f"), ""),
    ]


def _size_rows(teacher: TeacherResults, student: StudentResults, compared: Comparison) -> list[Row]:
    parts = student.parameters
    total = teacher.parameters.total, parts["training"]
    fewer = times(compared.compression, "fewer", "more")
    stored = (teacher.bytes_on_disk.image, student.bytes_on_disk.image)
    stored_total = (teacher.bytes_on_disk.total, student.bytes_on_disk.total)
    return [
        (
            "parameters, deployed (teacher: image encoder)",
            millions(teacher.parameters.image),
            millions(parts["deployed"]),
            fewer,
        ),
        ("parameters, total (student: in training)", *map(millions, total), times(_ratio(*total), "fewer", "more")),
        *((f"· {escape(name)}", NOT_APPLICABLE, millions(parts[name]), "") for name in parts if name not in LISTED),
        (
            "size on disk (teacher: image encoder)",
            *map(megabytes, stored),
            times(_ratio(*stored), "smaller", "larger"),
        ),
        ("size on disk, total", *map(megabytes, stored_total), times(_ratio(*stored_total), "smaller", "larger")),
        ("input side, pixels", teacher.input_size, student.input_size, ""),
    ]


def _cost_rows(teacher: Costs, student: Costs, compared: Comparison) -> list[Row]:
    models = (teacher, student)
    macs = teacher.macs, student.macs
    memory = teacher.peak_memory_bytes, student.peak_memory_bytes
    rate = teacher.throughput_per_s, student.throughput_per_s
    median = (model.latency_ms.p50_ms if model.latency_ms else None for model in models)
    tail = (model.latency_ms.p95_ms if model.latency_ms else None for model in models)
    faster = times(compared.latency_ratio, "faster", "slower")
    return [
        ("multiply-adds per frame", *map(millions, macs), times(_ratio(*macs), "fewer", "more")),
        ("peak memory", *map(megabytes, memory), times(_ratio(*memory), "less", "more")),
        ("latency, median", *(number(value, ".1f", " ms") for value in median), faster),
        ("latency, 95th percentile", *(number(value, ".1f", " ms") for value in tail), ""),
        ("throughput", *(number(n, ",.1f", " / s") for n in rate), times(_ratio(*rate[::-1]), "more", "less")),
    ]


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator and denominator else None
