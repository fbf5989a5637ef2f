"""Plots of accuracy against cost, as PNG files: one point for the teacher, one for each student."""

import io
from dataclasses import dataclass, replace

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from embedonce.pipeline.metrics.results_schema import (
    EvaluationResults,
    Interval,
    Latency,
    StudentResults,
    TeacherResults,
)
from embedonce.pipeline.reporting.comparison_rows import ComparisonTable

# Okabe and Ito's palette, which is safe for color blindness; the teacher is black. Shapes differ, too, for grayscale.
COLORS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TEACHER_COLOR, TEACHER_MARKER = "#000000", "*"
LATENCY, SIZE, PARAMETERS = "latency, one frame at a time (ms)", "size on disk (MB)", "parameters as deployed (M)"


@dataclass(frozen=True)
class Point:
    """One model. top1 (or mAP) and interval: 0 to 1, or None; costs: axis -> value in the axis's unit, or None."""

    name: str
    top1: float | None
    interval: Interval | None
    costs: dict[str, float | None]


def point_of(name: str, model: TeacherResults | StudentResults) -> Point:
    """The point of one model. A teacher's size is that of its image encoder."""
    latency = model.latency_ms
    parameters = model.parameters.image if isinstance(model, TeacherResults) else model.parameters["deployed"]
    costs = {
        LATENCY: None if latency is None else latency.p50_ms,
        SIZE: model.bytes_on_disk.image / 1e6,
        PARAMETERS: parameters / 1e6,
    }
    if model.mean_average_precision is not None:
        return Point(_drawable(name), model.mean_average_precision, model.map_interval, costs)
    return Point(_drawable(name), model.top1, model.top1_interval, costs)


def evaluation_plot(results: EvaluationResults) -> bytes:
    """The plot of one evaluation: top-1 of teacher and student against latency and size on disk."""
    teacher, student = results.teacher, results.student
    points = [point_of(f"student {student.size}", student)]
    return trade_off(point_of(f"teacher {teacher.name}", teacher), points, (LATENCY, SIZE), results, True)


def comparison_plot(table: ComparisonTable, evaluations: list[EvaluationResults]) -> bytes:
    """The plot of several students: top-1 against latency and parameters. evaluations: one per student, in order."""
    first, row = evaluations[0].teacher, table.rows[0]
    latency = None
    if row.latency_p50_ms is not None and row.latency_p95_ms is not None:
        latency = Latency(row.latency_p50_ms, row.latency_p95_ms)
    teacher = point_of(f"teacher {first.name}", replace(first, latency_ms=latency))
    names = (row.name for row in table.students)
    students = [point_of(name, results.student) for name, results in zip(names, evaluations, strict=True)]
    return trade_off(teacher, students, (LATENCY, PARAMETERS), table)


def trade_off(
    teacher: Point,
    students: list[Point],
    axes_names: tuple[str, ...],
    facts: EvaluationResults | ComparisonTable,
    from_chance: bool = False,
) -> bytes:
    """A PNG with one panel per cost, on a logarithmic axis; whiskers are 95 % intervals, chance is dotted.

    facts: which clips all models were evaluated on. from_chance: start the vertical axis at chance, however low.
    """
    points, chance = [teacher, *students], facts.chance
    with matplotlib.rc_context({"text.parse_math": False}):  # names may hold characters of formulas
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(axes_names), sharey=True)
        low, high = _limits(points, chance if from_chance else None)
        panels[0].set_ylim(low, high)
        panels[0].set_ylabel(f"{'mAP' if facts.multi_label else 'top-1'} (%), whiskers: 95 % interval")
        for panel, name in zip(panels, axes_names, strict=True):
            _draw_panel(panel, name, points)
            if chance is not None and low <= 100 * chance <= high:
                panel.axhline(100 * chance, color="0.35", linestyle=":", linewidth=1.2, label="chance")
        handles, labels = _legend(panels, [point.name for point in points])
        if labels:
            figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
        figure.suptitle(_title(facts), fontsize=11)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _title(facts: EvaluationResults | ComparisonTable) -> str:
    clips = f"{facts.num_clips} {_drawable(facts.split)} clips of {facts.num_videos} recordings"
    clips = f"{'mAP' if facts.multi_label else 'Top-1'} on {clips}"
    chance = f", chance {100 * facts.chance:.1f} %" if facts.chance else ""
    return clips + chance + (f"\n{_drawable(facts.note, 200)}" if facts.note else "")


def _drawable(text: str, limit: int = 100) -> str:
    """A text short enough for a plot; undecodable bytes of file names are escaped, as no font can draw them."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _draw_panel(panel: Axes, axis: str, points: list[Point]) -> None:
    """Draw every point that has both values, and list the others as not measured."""
    panel.set_xlabel(axis)
    panel.grid(color="0.9", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    drawn: list[float] = []
    missing = []
    for number, point in enumerate(points):
        cost = point.costs[axis]
        if point.top1 is None or not cost or cost < 0:
            missing.append(point.name)
            continue
        drawn.append(cost)
        low, high = point.interval or (point.top1, point.top1)
        whiskers = [[100 * max(0.0, point.top1 - low)], [100 * max(0.0, high - point.top1)]]
        panel.errorbar(cost, 100 * point.top1, whiskers, label=point.name, **_style(number))
    if all(point.top1 is None for point in points):
        _write(panel, "no labels: no accuracy")
    elif not drawn:
        _write(panel, "not measured")
    elif missing:  # above the panel, so that it covers no point
        names = ", ".join(missing) if len(missing) < 3 else f"{len(missing)} of {len(points)}"
        panel.set_title(f"not measured: {names}", fontsize=9, color="0.25", loc="right")
    _set_logarithmic(panel, drawn)


def _write(panel: Axes, text: str) -> None:
    """Write a text into the middle of a panel."""
    box = {"facecolor": "white", "edgecolor": "none"}
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", color="0.25", bbox=box)


def _style(number: int) -> dict:
    """The appearance of the point of this number; the teacher is 0."""
    color, marker, size = TEACHER_COLOR, TEACHER_MARKER, 15
    if number:
        turn, place = divmod(number - 1, len(COLORS))
        color, marker, size = COLORS[place], MARKERS[(place + turn) % len(MARKERS)], 9
    whiskers = {"ecolor": "0.25", "elinewidth": 1.3, "capsize": 4}
    edge = {"markeredgecolor": "black", "markeredgewidth": 0.8}
    return {"color": color, "marker": marker, "markersize": size, "linestyle": "none", **edge, **whiskers}


def _set_logarithmic(panel: Axes, values: list[float]) -> None:
    """Give the panel a logarithmic axis around these values, with ticks at 1, 2 and 5 times the powers of ten."""
    low, high = min(values, default=1.0) / 1.8, max(values, default=10.0) * 1.8
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    ticks = [digit * 10.0**power for power in range(-9, 13) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) > 8:
        ticks = [tick for tick in ticks if f"{tick:e}".startswith("1.")]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()


def _limits(points: list[Point], chance: float | None) -> tuple[float, float]:
    """Limits of the vertical axis in percent, which include every whisker, and chance if it is given."""
    known = [value for point in points if point.top1 is not None for value in (point.top1, *(point.interval or ()))]
    if not known:
        return 0.0, 100.0
    low, high = min(*known, chance if chance is not None else 1.0, 1.0), max(known)
    room = max(0.02, 0.08 * (high - low))
    return 100 * max(-0.01, low - room), 100 * min(1.03, high + room)


def _legend(panels, names: list[str]) -> tuple[list, list[str]]:
    """Handles and labels: each name once, in this order, from any panel that has it; chance last."""
    drawn = [dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True)) for panel in panels]
    handles = {name: next((d[name] for d in drawn if name in d), None) for name in (*names, "chance")}
    labels = [name for name, handle in handles.items() if handle is not None]
    return [handles[name] for name in labels], labels
