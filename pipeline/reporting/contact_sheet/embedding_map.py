"""The map of embeddings: a drawing of points, its legend, and the place where the chosen frame is shown. Markup."""

import numpy as np

from embedonce.pipeline.reporting.contact_sheet.coloring import NUM_COLORS, PREDICTED, Coloring
from embedonce.pipeline.reporting.contact_sheet.projection import Projection
from embedonce.pipeline.reporting.contact_sheet.texts import SHORT, counted, text

WIDTH, HEIGHT, MARGIN = 760, 480, 16  # SVG units
MAX_STRETCH = 1.6
MARKS = (  # paths around the origin, of equal area
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "M-3.5-3.5h7v7h-7z",
    "M0-5l4.7 8.4h-9.4z",
    "M0-5l5 5-5 5-5-5z",
    "M0 5l4.7-8.4h-9.4z",
    "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "M0-4.6l4.4 3.2-1.7 5.2h-5.4l-1.7-5.2z",
    "M-4.2-4.2h8.4l-8.4 8.4h8.4z",
)
GRAY = "M-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0"
HINT = "Click a point, or use the arrow keys, to see its frame; Enter goes to it in its video."


def map_section(projection: Projection, coloring: Coloring) -> str:
    """Point i is frame i of the sheet."""
    if not len(projection.points):
        return "<p>There are no frames to draw.</p>"
    num_points = len(projection.points)
    label = f"map of {counted(num_points, 'frame')}, colored by {coloring.by}"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    drawing = (
        f'<svg id="points" class="map" role="group" aria-label="{text(label)}" {size}>'
        f'<defs>{_symbols()}</defs><g>{_points(projection.points, coloring)}</g><circle id="ring" r="9"/></svg>'
    )
    caption = f"{projection.caption} Colored by {coloring.by}. {HINT}"
    return (
        f'<div class="map-row"><div class="map-box">{drawing}<p class="faint">{text(caption, 400)}</p></div>'
        f'<aside id="shown" aria-live="polite" aria-label="the chosen frame"></aside>{_legend(coloring)}</div>'
    )


def _symbols() -> str:
    paths = [f'<path id="m{i}" d="{path}"/>' for i, path in enumerate(MARKS)]
    return "".join([*paths, f'<path id="mg" d="{GRAY}"/>'])


def _points(points: np.ndarray, coloring: Coloring) -> str:
    """Gray points first, so that they cover no others; each knows its frame."""
    placed = _placed(points)
    order = sorted(range(len(points)), key=lambda i: (coloring.groups[i] < coloring.num_colored, i))
    return "".join(
        f'<use {_mark(coloring.groups[i], coloring.num_colored)} data-frame="{i}" '
        f'x="{placed[i, 0]:.1f}" y="{placed[i, 1]:.1f}"/>'
        for i in order
    )


def _placed(points: np.ndarray) -> np.ndarray:
    """(N, 2) in SVG units: centered and as large as fits, one direction stretched by at most MAX_STRETCH."""
    low, high = points.min(0), points.max(0)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    scale = room / np.where(high > low, high - low, np.inf)
    least = scale[scale > 0].min(initial=np.inf)
    scale = np.minimum(scale, MAX_STRETCH * least) if np.isfinite(least) else scale
    return np.array([WIDTH, HEIGHT]) / 2 + (points - (low + high) / 2) * scale * np.array([1, -1])


def _mark(group: int, num_colored: int) -> str:
    """Attributes of a point of this group."""
    if group >= num_colored:
        return 'href="#mg" class="gray"'
    number = group % NUM_COLORS
    hollow = " hollow" if group >= NUM_COLORS else ""
    return f'href="#m{number}" class="k{number}{hollow}"'


def _legend(coloring: Coloring) -> str:
    """Each group with its mark and count; those that are one class or video, with a short name, filter the sheet."""
    is_searchable = coloring.by != PREDICTED
    entries = []
    for group, (name, count) in enumerate(zip(coloring.names, coloring.counts, strict=True)):
        mark = f'<use x="7" y="7" {_mark(group, coloring.num_colored)}/>'
        mark = f'<svg width="14" height="14" aria-hidden="true">{mark}</svg>'
        shown = f"{mark}<span>{text(name, SHORT)}</span><b>{count:,}</b>"
        if is_searchable and group < coloring.num_colored and len(name) <= SHORT:
            entries.append(f'<li><button type="button" data-filter="{text(name)}">{shown}</button></li>')
        else:
            entries.append(f"<li><span>{shown}</span></li>")
    return f'<ul class="legend" aria-label="colors of the map, with numbers of frames">{"".join(entries)}</ul>'
