"""Line charts and reliability diagrams as inline SVG. Pure: numbers in, markup out.

Colors and hatches are CSS classes of the page's style.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

from embedonce.pipeline.metrics.results_schema import ReliabilityBin

WIDTH, HEIGHT = 360, 240  # of a whole chart, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 12, 36
MAX_MARKS = 24  # on one curve: more would overlap
MAX_RATIO = 20  # between the largest and the smallest value: beyond it the scale is logarithmic
HATCH = (  # hatched blocks refer to it; a page has it once
    '<svg class="hidden" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern></defs>'
    "</svg>"
)

Series = tuple[str, Sequence[float | None]]


def line_chart(title: str, series: Sequence[Series], xs: Sequence[float], x_label: str, unit: bool = False) -> str:
    """At most four curves, each with its own color, dash and marker; None is a gap. Without any value, "".

    series: (name, one value for each of xs); unit: whether the vertical axis is 0 to 1, if all values are in it.
    """
    series = [(name, values) for name, values in series if any(value is not None for value in values)]
    finite = [value for _, values in series for value in values if value is not None]
    if not finite:
        return ""
    across = _scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    unit = unit and min(finite) >= 0 and max(finite) <= 1
    is_log = not unit and min(finite) > 0 and max(finite) > MAX_RATIO * min(finite)
    low, high, ticks = (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1]) if unit else _range(finite, is_log)
    bend = math.log10 if is_log else float
    level = _scale(bend(low), bend(high), HEIGHT - BOTTOM, TOP)
    parts = [_grid([(level(bend(tick)), f"{tick:g}") for tick in ticks])]
    parts += [_below(across(x), f"{x:g}") for x in _thinned(xs, 8)]
    for number, (name, values) in enumerate(series):
        points = [None if v is None else (across(x), level(bend(v))) for x, v in zip(xs, values, strict=True)]
        parts.append(f'<g class="c{number}"><title>{escape(name)}</title>{_curve(points, number)}</g>')
    parts.append(_middle_label(x_label + (" (vertical axis logarithmic)" if is_log else "")))
    summary = [
        f"{name} ends at {next((f'{v:.3g}' for v in reversed(vs) if v is not None), '–')}" for name, vs in series
    ]
    drawing = svg(WIDTH, HEIGHT, f"{title}: {', '.join(summary)}", "".join(parts))
    return f"<figure>{drawing}<figcaption>{_legend([name for name, _ in series])}</figcaption></figure>"


def reliability_diagram(title: str, bins: Sequence[ReliabilityBin], num_bins: int, model: str) -> str:
    """Accuracy by confidence: a block per bin, a disc at its mean confidence, and the diagonal of perfect calibration.

    bins: those that are not empty; model: "teacher" (plain blocks) or "student" (hatched).
    """
    side = HEIGHT - TOP - BOTTOM
    across, level = _scale(0, 1, LEFT, LEFT + side), _scale(0, 1, HEIGHT - BOTTOM, TOP)
    most = max((entry.clips for entry in bins), default=1)
    parts = [_grid([(level(t), f"{t:g}") for t in (0, 0.25, 0.5, 0.75, 1)], LEFT + side)]
    parts += [_below(across(t), f"{t:g}") for t in (0, 0.25, 0.5, 0.75, 1)]
    for entry in bins:
        left = max(math.ceil(entry.confidence * num_bins) - 1, 0) / num_bins  # a bin includes its upper edge
        figures = f"confidence {entry.confidence:.2f}, accuracy {entry.accuracy:.2f}, {entry.clips} clips"
        x, y = across(left) + 0.5, level(entry.accuracy)
        block = f'x="{x:.1f}" y="{y:.1f}" width="{side / num_bins - 1:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
        radius = 2 + 5 * math.sqrt(entry.clips / most)
        disc = f'cx="{across(entry.confidence):.1f}" cy="{y:.1f}" r="{radius:.1f}"'
        parts.append(f'<g><title>{figures}</title><rect class="block" {block}/><circle class="mark" {disc}/></g>')
    corners = f'x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{LEFT + side}" y2="{TOP}"'
    parts += [f'<line class="diagonal" {corners}/>', _middle_label("confidence in the predicted class", LEFT + side)]
    summary = "; ".join(f"at confidence {b.confidence:.2f} accuracy {b.accuracy:.2f} ({b.clips} clips)" for b in bins)
    width = LEFT + side + RIGHT
    return f'<div class="{model}">{svg(width, HEIGHT, f"{title}: {summary}", "".join(parts))}</div>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The linear map from [low, high] to [start, end]."""
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _range(values: list[float], is_log: bool) -> tuple[float, float, list[float]]:
    """Lower and upper end of an axis, and its ticks, all round numbers."""
    if is_log:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return 10.0**first, 10.0**last, [10.0**power for power in _thinned(range(first, last + 1), 8)]
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 1e-12)
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step * 0.999)
    return first * step, last * step, [round(k * step, 12) for k in range(first, last + 1)]


def _thinned(values: Sequence, most: int) -> list:
    """At most `most` of the values, evenly spaced, including the first."""
    return list(values[:: max(1, math.ceil(len(values) / most))])


def _curve(points: list[tuple[float, float] | None], number: int) -> str:
    pen, steps = "M", []
    for point in points:
        steps.append("" if point is None else f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "M" if point is None else "L"
    drawn = [point for point in points if point is not None]
    marks = "".join(_mark(x, y, number) for x, y in _thinned(drawn, MAX_MARKS))
    return f'<path class="curve" d="{"".join(steps)}"/>{marks}'


def _mark(x: float, y: float, number: int) -> str:
    """A disc, a square, a triangle or a diamond."""
    shapes = ("m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0", "m-3.2 -3.2h6.4v6.4h-6.4z", "m0 -4.5l4.2 7.5h-8.4z")
    shape = (*shapes, "m0 -4.8l4.8 4.8l-4.8 4.8l-4.8 -4.8z")[number]
    return f'<path class="mark" d="M{x:.1f} {y:.1f}{shape}"/>'


def _legend(names: list[str]) -> str:
    def key(number: int) -> str:
        line = f'<path class="curve" d="M0 6H30"/>{_mark(15, 6, number)}'
        return f'<svg class="bar" width="30" height="12" aria-hidden="true"><g class="c{number}">{line}</g></svg>'

    return "".join(f'<span class="key">{key(number)} {escape(name)}</span>' for number, name in enumerate(names))


def _grid(levels: list[tuple[float, str]], right: float = WIDTH - RIGHT) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        f'<text class="dim" text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{name}</text>'
        for y, name in levels
    )


def _below(x: float, name: str) -> str:
    return f'<text class="dim" text-anchor="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}">{name}</text>'


def _middle_label(text: str, right: float = WIDTH - RIGHT) -> str:
    place = f'x="{(LEFT + right) / 2}" y="{HEIGHT - 5}"'
    return f'<text class="dim" text-anchor="middle" {place}>{escape(text)}</text>'


def svg(width: float, height: float, alt: str, content: str) -> str:
    """A drawing with a text alternative. width, height: in SVG units; alt: text; content: markup."""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg role="img" aria-label="{escape(alt)}" {size}>{content}</svg>'
