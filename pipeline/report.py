"""What an evaluation looks like: a table for the terminal, a plot for a page. Knows only the results' keys."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

TEACHER_COLOUR, STUDENT_COLOUR = "#0072B2", "#E69F00"  # Okabe and Ito's palette, told apart without colour vision


def comparison_table(results: dict) -> str:
    """Teacher and student side by side, a line for each figure; a dash where there is none."""
    teacher, student, comparison = results["teacher"], results["student"], results["comparison"]
    drop, compression = comparison["accuracy_drop_points"], comparison["compression"]
    size_ratio = teacher["bytes_on_disk"]["image"] / student["bytes_on_disk"]["image"]
    rows = [
        ("", f"teacher {teacher['name']}", f"student {student['size']}", "comparison"),
        ("top-1", _percent(teacher["top1"]), _percent(student["top1"]), _points(drop)),
        ("top-5", _percent(teacher["top5"]), _percent(student["top5"]), ""),
        ("mean class", _percent(teacher["mean_class_accuracy"]), _percent(student["mean_class_accuracy"]), ""),
        ("agreement", "", _percent(comparison["agreement"]), ""),
        ("cosine", "", _unit(comparison["embedding_cosine"], ".3f"), ""),
        (
            "parameters",
            f"{teacher['parameters']['image'] / 1e6:.2f} M",
            f"{student['parameters']['deployed'] / 1e6:.2f} M",
            f"{compression:.1f}x fewer",
        ),
        ("on disk", _megabytes(teacher), _megabytes(student), f"{size_ratio:.1f}x smaller"),
        ("latency", _latency(teacher), _latency(student), _unit(comparison["latency_ratio"], ".1f", "x faster")),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    title = f"{results['num_clips']} {results.get('split', '')} clips, {results['num_classes']} classes"
    chance = f", chance {_percent(results['chance'])}" if results["chance"] else ""
    note = f" ({results['note']})" if results["note"] else ""
    return "\n".join([title + chance + note, "-" * max(map(len, lines)), *lines])


def comparison_plot(results: dict) -> bytes:
    """A PNG of four panels: accuracy, parameters, size on disk, latency; teacher and student in each."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    teacher, student = results["teacher"], results["student"]
    panels = [
        ("top-1 accuracy (%)", *(None if s["top1"] is None else 100 * s["top1"] for s in (teacher, student))),
        ("parameters (M)", teacher["parameters"]["image"] / 1e6, student["parameters"]["deployed"] / 1e6),
        ("size on disk (MB)", *(s["bytes_on_disk"]["image"] / 1e6 for s in (teacher, student))),
        ("latency, batch 1 (ms)", *((s["latency_ms"] or {}).get("p50_ms") for s in (teacher, student))),
    ]
    for axes, (title, *values) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _bars(axes, title, values)
    if results["chance"]:
        figure.axes[0].axhline(100 * results["chance"], color="0.35", linestyle=":", linewidth=1)
        figure.axes[0].annotate("chance", (0.5, 100 * results["chance"]), ha="center", va="bottom", fontsize=8)
    note = f"\n{results['note']}" if results["note"] else ""
    title = f"{teacher['name']} and student {student['size']} on {results['num_clips']} held-out clips{note}"
    figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _bars(axes, title: str, values: list[float | None]) -> None:
    colours, hatches, names = (TEACHER_COLOUR, STUDENT_COLOUR), ("", "//"), ("teacher", "student")
    heights = [value or 0.0 for value in values]
    bars = axes.bar(names, heights, color=colours, edgecolor="black", linewidth=0.8, width=0.6)
    for bar, hatch, value in zip(bars, hatches, values, strict=True):
        bar.set_hatch(hatch)
        told = "not measured" if value is None else f"{value:.3g}"
        axes.annotate(told, (bar.get_x() + bar.get_width() / 2, bar.get_height()), ha="center", va="bottom", fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.set_ylim(0, max([*heights, 1e-9]) * 1.18)
    axes.spines[["top", "right"]].set_visible(False)


def _percent(share: float | None) -> str:
    return _unit(None if share is None else 100 * share, ".1f", " %")


def _points(drop: float | None) -> str:
    return _unit(None if drop is None else abs(drop), ".1f", " points gained" if drop and drop < 0 else " points lost")


def _unit(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _megabytes(side: dict) -> str:
    return f"{side['bytes_on_disk']['image'] / 1e6:.1f} MB"


def _latency(side: dict) -> str:
    return "not timed" if side["latency_ms"] is None else f"{side['latency_ms']['p50_ms']:.1f} ms"
