"""Parts of a self-contained HTML page: the document, sections, tables, embedded thumbnails, formatted numbers.

Arguments that are text are escaped, those that are markup are not.
"""

import base64
import hashlib
import io
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

NOT_MEASURED = "not measured"
NOT_APPLICABLE = "–"
NO_BREAK = "\u00a0"  # space between a figure and its unit
Cell = str | int
# With it, a browser loads nothing and runs no script, whatever the page contains; page() may allow its own one.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, style: str, body: str, script: str = "") -> str:
    """A whole document. title: text; style: CSS; body: markup; script: JavaScript, the only one that can run."""
    policy, end = POLICY, ""
    if script:
        policy += f"; script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        end = f"<script>{script}</script>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{body}{end}</body></html>\n"
    )


def section(title: str, body: str, anchor: str) -> str:
    """A part of a page, linked to by `#anchor`. title: text; body: markup."""
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{body}</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str, css_class: str = "") -> str:
    """A table that scrolls if it is too wide. Cells are markup or counts, the caption is text.

    The first cell of each row is its header.
    """
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    lines = (
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="{css_class}">'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        "</div>"
    )


def thumbnail(image: Image.Image, size: tuple[int, int], alt: str) -> str:
    """An <img> with embedded pixels. size: largest (width, height); the image is shrunk in place."""
    data = io.BytesIO()
    image.thumbnail(size, Image.Resampling.BICUBIC)
    image.save(data, "JPEG", quality=80)
    return embedded(data.getvalue(), "jpeg", (image.width, image.height), alt)


def embedded(data: bytes, kind: str, size: tuple[int, int], alt: str) -> str:
    """An <img> of an image file. kind: "jpeg", "webp" and the like; size: (width, height) in pixels."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{escape(alt)}" width="{size[0]}" height="{size[1]}" src="{source}">'


def number(value: float | None, form: str, unit: str = "") -> str:
    """A figure with its unit, or that it was not measured."""
    return NOT_MEASURED if value is None else f"{value:{form}}{unit}".replace("-", "−").replace(" ", NO_BREAK)


def percent(share: float | None) -> str:
    """A share from 0 to 1, in percent."""
    return number(None if share is None else 100 * share, ".1f", " %")


def megabytes(num_bytes: float | None) -> str:
    """Bytes in units of 10^6."""
    return number(None if num_bytes is None else num_bytes / 1e6, ",.1f", " MB")


def millions(count: float | None) -> str:
    """A large count in units of 10^6."""
    return number(None if count is None else count / 1e6, ",.2f", " M")


def times(ratio: float | None, more: str, less: str) -> str:
    """A ratio above 1 with a word for its direction: 66× fewer, 1.5× more; empty without a ratio."""
    if not ratio:
        return ""
    value, word = (ratio, more) if ratio >= 1 else (1 / ratio, less)
    return f"{value:.1f}× {word}" if value < 10 else f"{value:,.0f}× {word}"
