"""Student and teacher in one sentence and in one table. Pure: the results of an evaluation in, markup out.

Knows the keys of evaluation_results.json; a figure that is null is said to be not measured, never left out.
"""

from html import escape

from embedonce.pipeline.reporting.html.markup import (
    NOT_APPLICABLE,
    NOT_MEASURED,
    megabytes,
    millions,
    number,
    percent,
    table,
    times,
)

NAMED_ABOVE = ("deployed", "training")  # other parameters are parts of these


def headline(results: dict) -> str:
    """What came out, as one sentence of text, from those figures alone that there are."""
    teacher, student, compared = results["teacher"], results["student"], results["comparison"]
    ratios = [
        times(compared["compression"], "fewer parameters", "more parameters"),
        times(compared["latency_ratio"], "faster", "slower"),
    ]
    if student["top1"] is not None and teacher["top1"] is not None:
        told = f"{percent(student['top1'])} against the teacher's {percent(teacher['top1'])}"
        drop = f"{points(compared['accuracy_drop_points'])}{_interval_of_points(compared['accuracy_drop_interval'])}"
        return f"{told}: {', '.join(filter(None, [drop, *ratios]))}."
    told = [f"{percent(student['top1'])} of the labeled clips right"] if student["top1"] is not None else []
    if compared["agreement"] is not None:
        told.append(f"says what the teacher says of {percent(compared['agreement'])} of the clips")
    if compared["embedding_cosine"] is not None:
        told.append(f"cosine of its embeddings with the teacher's {compared['embedding_cosine']:.3f}")
    told += filter(None, ratios)
    sentence = ", ".join(told) or "no figure could be measured"
    return f"{sentence[0].upper()}{sentence[1:]}."


def comparison_table(results: dict) -> str:
    """All figures of both sides."""
    teacher, student = results["teacher"], results["student"]
    rows = [*_accuracy_rows(results), *_fidelity_rows(results), *_size_rows(results), *_cost_rows(results)]
    head = ("", f"teacher {escape(teacher['name'])}", f"student {escape(student['size'])}", "comparison")
    return table(head, rows, "Student and teacher; small print: 95 % intervals") + _reference_table(results)


def _reference_table(results: dict) -> str:
    """What CLIP's usual image tower would cost; it said nothing of these clips."""
    found = results["reference"]
    if found is None:
        return ""
    latency = found["latency_ms"]
    cells = (
        escape(found["name"]),
        millions(found["parameters"]),
        megabytes(found["bytes_on_disk"]),
        millions(found["macs"]),
        f"{latency['p50_ms']:.1f} ms<small>{latency['p95_ms']:.1f} ms</small>",
        f"{found['throughput_per_s']:,.1f} / s",
        times(found["latency_ratio"], "faster", "slower"),
    )
    head = (
        "cost alone",
        "parameters",
        "on disk",
        "multiply-adds",
        "latency, p50 and p95",
        "throughput",
        "the student is",
    )
    return table(head, [cells], "A usual teacher, by its costs")


def points(drop: float | None) -> str:
    """A difference in points of per cent, in words."""
    if drop is None:
        return NOT_MEASURED
    return f"{abs(drop):.1f} points {'gained' if drop < 0 else 'lost'}"


def _interval_of_points(interval: list[float] | None) -> str:
    if interval is None:
        return ""
    low, high = interval
    if low < 0 < high:
        return f" (95 % interval: {-low:.1f} gained to {high:.1f} lost)"
    low, high = sorted((abs(low), abs(high)))
    return f" (95 % interval: {low:.1f} to {high:.1f})"


def _with_interval(share: float | None, interval: list[float] | None) -> str:
    if share is None or interval is None:
        return percent(share)
    return f"{percent(share)}<small>{100 * interval[0]:.1f} to {100 * interval[1]:.1f}</small>"


def _accuracy_rows(results: dict) -> list[tuple]:
    teacher, student, compared = results["teacher"], results["student"], results["comparison"]
    sides = (teacher, student)
    drop = points(compared["accuracy_drop_points"])
    interval = _interval_of_points(compared["accuracy_drop_interval"]).removeprefix(" (").removesuffix(")")
    if interval:
        drop += f"<small>{interval}</small>"
    top = [
        ("top-1 accuracy", *(_with_interval(side["top1"], side["top1_interval"]) for side in sides), drop),
        ("top-5 accuracy", *(percent(side["top5"]) for side in sides), ""),
    ]
    mean_class = ("mean accuracy of classes", *(percent(side["mean_class_accuracy"]) for side in sides), "")
    return [
        *([mean_class, *top] if results.get("long_tail") else [*top, mean_class]),
        *_verb_noun_rows(results.get("verb_noun")),
        ("zero-shot top-1", NOT_APPLICABLE, percent(student["zero_shot_top1"]), ""),
        ("calibration error (ECE)", *(number(side["calibration_error"], ".3f") for side in sides), ""),
    ]


def _verb_noun_rows(found: dict | None) -> list[tuple]:
    """Of the clips that have a verb and a noun."""
    if found is None:
        return []
    rows = (("verb", "verb"), ("noun", "noun"), ("both", "verb and noun together"))
    sides = found["teacher"], found["student"]
    return [(f"{told}, of {found['num_clips']} clips", *(percent(s[name]) for s in sides), "") for name, told in rows]


def _fidelity_rows(results: dict) -> list[tuple]:
    compared = results["comparison"]
    agreement = _with_interval(compared["agreement"], compared["agreement_interval"])
    return [
        ("agreement (the teacher's class comes first)", NOT_APPLICABLE, agreement, ""),
        ("agreement@5 (it is among the first five)", NOT_APPLICABLE, percent(compared["agreement_top5"]), ""),
        ("KL divergence from the teacher", NOT_APPLICABLE, number(compared["kl_divergence"], ".3f", " nats"), ""),
        ("cosine of embeddings", NOT_APPLICABLE, number(compared["embedding_cosine"], ".3f"), ""),
    ]


def _size_rows(results: dict) -> list[tuple]:
    teacher, student = results["teacher"], results["student"]
    parts = student["parameters"]
    deployed = teacher["parameters"]["image"], parts["deployed"]
    in_all = teacher["parameters"]["total"], parts["training"]
    fewer = times(results["comparison"]["compression"], "fewer", "more")
    rows = [
        ("parameters deployed (teacher: image side)", *map(millions, deployed), fewer),
        ("parameters in all (student: in training)", *map(millions, in_all), times(_ratio(*in_all), "fewer", "more")),
        *(
            (f"· {escape(name)}", NOT_APPLICABLE, millions(parts[name]), "")
            for name in parts
            if name not in NAMED_ABOVE
        ),
    ]
    for name, key in (("size on disk (teacher: image side)", "image"), ("size on disk, all", "total")):
        sizes = teacher["bytes_on_disk"][key], student["bytes_on_disk"][key]
        rows.append((name, *map(megabytes, sizes), times(_ratio(*sizes), "smaller", "larger")))
    return [*rows, ("side of the input, pixels", teacher["input_size"], student["input_size"], "")]


def _cost_rows(results: dict) -> list[tuple]:
    teacher, student = results["teacher"], results["student"]
    macs, memory, rate = ((teacher[key], student[key]) for key in ("macs", "peak_memory_bytes", "throughput_per_s"))
    latency = [side["latency_ms"] or {"p50_ms": None, "p95_ms": None} for side in (teacher, student)]
    faster = times(results["comparison"]["latency_ratio"], "faster", "slower")
    return [
        ("multiply-adds of a frame", *map(millions, macs), times(_ratio(*macs), "fewer", "more")),
        ("peak memory", *map(megabytes, memory), times(_ratio(*memory), "less", "more")),
        ("latency, median", *(number(side["p50_ms"], ".1f", " ms") for side in latency), faster),
        ("latency, 95th percentile", *(number(side["p95_ms"], ".1f", " ms") for side in latency), ""),
        ("throughput", *(number(n, ",.1f", " / s") for n in rate), times(_ratio(*rate[::-1]), "more", "less")),
    ]


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None
