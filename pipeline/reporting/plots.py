"""Accuracy against what it costs, as a PNG: one point for the teacher, one for each student.

Knows the keys of results and how to draw; computes no figure.
"""

import io
from dataclasses import dataclass

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart without color vision; black is the teacher's. Shapes tell them apart in grey.
COLORS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TEACHER_COLOR, TEACHER_MARKER = "#000000", "*"
LATENCY, SIZE, PARAMETERS = "latency, one frame at a time (ms)", "size on disk (MB)", "parameters as deployed (M)"


@dataclass(frozen=True)
class Point:
    """One model. top1 and interval are 0..1 or None; costs: axis -> value in the unit that the axis names, or None."""

    name: str
    top1: float | None
    interval: tuple[float, float] | None
    costs: dict[str, float | None]


def point_of(name: str, side: dict) -> Point:
    """The point of results["teacher"] or results["student"]. A teacher's size is that of its image tower."""
    parameters, latency = side["parameters"], side["latency_ms"]
    costs = {
        LATENCY: latency and latency["p50_ms"],
        SIZE: side["bytes_on_disk"]["image"] / 1e6,
        PARAMETERS: parameters.get("deployed", parameters.get("image")) / 1e6,
    }
    return Point(_drawable(name), side["top1"], side["top1_interval"], costs)


def comparison_plot(results: dict) -> bytes:
    """The plot of one evaluation: top-1 of teacher and student against latency and size on disk."""
    teacher, student = results["teacher"], results["student"]
    points = [point_of(f"student {student['size']}", student)]
    return trade_off(point_of(f"teacher {teacher['name']}", teacher), points, (LATENCY, SIZE), results, True)


def trade_off(
    teacher: Point, students: list[Point], axes_names: tuple[str, ...], facts: dict, from_chance: bool = False
) -> bytes:
    """A PNG of one panel for each cost, on a logarithmic axis; whiskers are 95 % intervals, chance is dotted.

    facts: of results or of a comparison, on what all were judged. from_chance: begin at chance, however far below.
    """
    points, chance = [teacher, *students], facts["chance"]
    with matplotlib.rc_context({"text.parse_math": False}):  # names are names, whatever characters they have
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(axes_names), sharey=True)
        low, high = _limits(points, chance if from_chance else None)
        panels[0].set_ylim(low, high)
        panels[0].set_ylabel("top-1 (%), whiskers: 95 % interval")
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


def _title(facts: dict) -> str:
    judged = f"Top-1 on {facts['num_clips']} {_drawable(facts['split'])} clips of {facts['num_videos']} recordings"
    chance = f", chance {100 * facts['chance']:.1f} %" if facts["chance"] else ""
    return judged + chance + (f"\n{_drawable(facts['note'], 200)}" if facts["note"] else "")


def _drawable(text: str, longest: int = 100) -> str:
    """A text that fits into a plot; bytes of file names that are no text are escaped, for no font has them."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _draw_panel(panel, axis: str, points: list[Point]) -> None:
    """Every point that has both values; the names of those that have not, in words."""
    panel.set_xlabel(axis)
    panel.grid(color="0.9", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    shown, absent = [], []
    for number, point in enumerate(points):
        cost = point.costs[axis]
        if point.top1 is None or not cost or cost < 0:
            absent.append(point.name)
            continue
        shown.append(cost)
        low, high = point.interval or (point.top1, point.top1)
        whiskers = [[100 * max(0.0, point.top1 - low)], [100 * max(0.0, high - point.top1)]]
        panel.errorbar(cost, 100 * point.top1, whiskers, label=point.name, **_style(number))
    if all(point.top1 is None for point in points):
        _say(panel, "no labels: accuracy has no value")
    elif not shown:
        _say(panel, "not measured")
    elif absent:  # above the panel, where no point can be
        told = ", ".join(absent) if len(absent) < 3 else f"{len(absent)} of {len(points)}"
        panel.set_title(f"not measured: {told}", fontsize=9, color="0.25", loc="right")
    _logarithmic(panel, shown)


def _say(panel, told: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none"}
    panel.text(0.5, 0.5, told, transform=panel.transAxes, ha="center", va="center", color="0.25", bbox=box)


def _style(number: int) -> dict:
    """How the point of this number looks; the teacher is 0."""
    color, marker, size = TEACHER_COLOR, TEACHER_MARKER, 15
    if number:
        turn, place = divmod(number - 1, len(COLORS))
        color, marker, size = COLORS[place], MARKERS[(place + turn) % len(MARKERS)], 9
    whiskers = {"ecolor": "0.25", "elinewidth": 1.3, "capsize": 4}
    edge = {"markeredgecolor": "black", "markeredgewidth": 0.8}
    return {"color": color, "marker": marker, "markersize": size, "linestyle": "none", **edge, **whiskers}


def _logarithmic(panel, shown: list[float]) -> None:
    """A logarithmic axis around these values, with ticks at 1, 2 and 5 times the powers of ten."""
    low, high = min(shown, default=1.0) / 1.8, max(shown, default=10.0) * 1.8
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    ticks = [digit * 10.0**power for power in range(-9, 13) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) > 8:
        ticks = [tick for tick in ticks if f"{tick:e}".startswith("1.")]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()


def _limits(points: list[Point], chance: float | None) -> tuple[float, float]:
    """The part of 0..100 % that holds every whisker, and chance where it is given."""
    known = [value for point in points if point.top1 is not None for value in (point.top1, *(point.interval or ()))]
    if not known:
        return 0.0, 100.0
    low, high = min(*known, chance if chance is not None else 1.0, 1.0), max(known)
    room = max(0.02, 0.08 * (high - low))
    return 100 * max(-0.01, low - room), 100 * min(1.03, high + room)


def _legend(panels, names: list[str]) -> tuple[list, list[str]]:
    """Each name once, in this order, from whichever panel has it; chance last."""
    drawn = [dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True)) for panel in panels]
    found = {name: next((d[name] for d in drawn if name in d), None) for name in (*names, "chance")}
    labels = [name for name, handle in found.items() if handle is not None]
    return [found[name] for name in labels], labels
