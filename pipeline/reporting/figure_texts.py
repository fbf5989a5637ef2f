"""Figures of models as short texts for tables: percentages, intervals, counts and times."""

from embedonce.pipeline.metrics.results_schema import Calibrated, Costs, Interval, StudentResults, TeacherResults

Model = TeacherResults | StudentResults


def top1_text(model: Model) -> str:
    return bracketed(percent_text(model.top1), model.top1_interval, 100)


def mean_class_text(model: Model) -> str:
    return bracketed(percent_text(model.mean_class_accuracy), model.mean_class_interval, 100)


def drop_text(drop: float | None, interval: Interval | None) -> str:
    """Points lost or gained, with an interval of the same sign."""
    if drop is None:
        return "-"
    if drop < 0 and interval is not None:
        interval = (-interval[1], -interval[0])
    return bracketed(f"{abs(drop):.1f} points {'gained' if drop < 0 else 'lost'}", interval, 1)


def calibrated_text(found: Calibrated | None) -> str:
    """What the temperature of a checkpoint is worth, or why that is unknown; empty for results without it."""
    if found is None:
        return ""
    if found.temperature is None:
        return f"the student's logits have no temperature: {found.reason}"
    fitted = f"the student's temperature {found.temperature:.2f}, fitted to {found.num_selection_clips} selection clips"
    if found.reason is not None:
        return f"{fitted}, was not measured: {found.reason}"
    pairs = {
        "calibration error": (found.calibration_error_before, found.calibration_error),
        "negative log-likelihood": (found.negative_log_likelihood_before, found.negative_log_likelihood),
    }
    changes = [f"{name} {a:.3f} to {b:.3f}" for name, (a, b) in pairs.items() if a is not None and b is not None]
    return f"{fitted}, changes {', '.join(changes)}"


def interval_of(low: float | None, high: float | None) -> Interval | None:
    return None if low is None or high is None else (low, high)


def bracketed(figure: str, interval: Interval | None, scale: float, form: str = ".1f") -> str:
    """A figure, followed by its interval in brackets."""
    return figure if interval is None else f"{figure} ({scale * interval[0]:{form}} to {scale * interval[1]:{form}})"


def percent_text(share: float | None) -> str:
    return number_text(None if share is None else 100 * share, ".1f", " %")


def number_text(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def millions_text(parameters: int) -> str:
    return f"{parameters / 1e6:.2f} M"


def megabytes_text(model: Model) -> str:
    return f"{model.bytes_on_disk.image / 1e6:.1f} MB"


def macs_text(costs: Costs) -> str:
    return number_text(costs.macs and costs.macs / 1e6, ",.0f", " M")


def throughput_text(costs: Costs) -> str:
    return number_text(costs.throughput_per_s, ",.0f", " frames/s")


def times_text(teacher: float | None, student: float | None, word: str) -> str:
    return f"{teacher / student:.1f}x {word}" if teacher and student else ""


def latency_text(costs: Costs) -> str:
    return "not timed" if costs.latency_ms is None else f"{costs.latency_ms.p50_ms:.1f} ms"
