"""A contact sheet of a cache: one HTML file with its frames, their labels and predictions, and the frames it lacks.

Everything that comes from the cache is escaped.
"""

from html import escape

import numpy as np

from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TIME_TOLERANCE_SEC, Status
from embedonce.cache.timelines import shown_seconds
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.metrics.accuracy import log_softmax
from embedonce.pipeline.reporting.html.markup import page, thumbnail

THUMBNAIL = (176, 176)  # pixels, at most
TOP_K = 3
STYLE = """body{font:14px system-ui,sans-serif;margin:2em;background:#fff;color:#222}h1{font-size:1.4em}
h2{font-size:1.1em;margin:1.6em 0 .4em}pre{white-space:pre-wrap}.sheet{display:flex;flex-wrap:wrap;gap:8px}
figure{margin:0;width:176px;border:1px solid #ccc;padding:4px}figure img{width:100%;height:auto}
figcaption{font-size:12px}
.hole{height:110px;display:flex;align-items:center;justify-content:center;font-weight:bold;color:#fff}
.corrupt .hole{background:#b00020}.redacted .hole{background:#222}.missing .hole{background:#777}
.reshaped .hole{background:#8a5a00}"""


def contact_sheet(reader: CacheReader, lines: list[str], labels: LabelSet | None, max_frames: int) -> str:
    """The HTML document. lines: a summary for its top; max_frames: in total, spread evenly over all videos."""
    uids = reader.video_uids
    each = max(1, max_frames // max(len(uids), 1))
    sections = [_section(reader, labels, uid, each) for uid in uids[:max_frames]]
    name = str(reader.cache_dir)
    summary = f"<h1>{escape(name)}</h1><pre>{escape(chr(10).join(lines))}</pre>"
    return page(name, STYLE, summary + "".join(sections))


def _section(reader: CacheReader, labels: LabelSet | None, uid: str, count: int) -> str:
    """One video: evenly spread requested times, and the first `count` of those without a frame."""
    cells = []
    for unit, first_row, segment in reader.segments_of(uid):
        t_sec = shown_seconds(segment, reader.identity)
        for i, status in enumerate(segment.request_status):
            row = int(segment.request_row[i]) + first_row if status == Status.OK else None
            cells.append((float(t_sec[i]), Status(status), unit, row))
    cells.sort(key=lambda cell: cell[0])
    bad = [cell for cell in cells if cell[1] != Status.OK][:count]
    good = [cell for cell in cells if cell[1] == Status.OK]
    picked = [good[n] for n in np.unique(np.linspace(0, len(good) - 1, min(count, len(good))).astype(int))]
    figures = "".join(_figure(reader, labels, uid, cell) for cell in sorted([*bad, *picked], key=lambda cell: cell[0]))
    shown = f"{len(cells)} requested times, {len(bad) + len(picked)} shown"
    return f'<h2>{escape(uid)}</h2><p>{shown}</p><div class="sheet">{figures}</div>'


def _figure(reader: CacheReader, labels: LabelSet | None, uid: str, cell: tuple) -> str:
    t_sec, status, unit, row = cell
    name = status.name.lower()
    if row is None:
        return f'<figure class="{name}"><div class="hole">{name}</div><figcaption>{t_sec:.3f} s</figcaption></figure>'
    shard, side = reader.frames(unit), reader.identity.canonical_short_side
    image = thumbnail(canonical_frame.decode_jpeg(shard.jpeg(row), side), THUMBNAIL, f"frame of {uid} at {t_sec:.3f} s")
    lines = [f"{t_sec:.3f} s", *_names(labels, uid, t_sec), *_teacher(reader, labels, unit, row)]
    caption = "<br>".join(escape(line) for line in lines)
    return f'<figure class="{name}">{image}<figcaption>{caption}</figcaption></figure>'


def _names(labels: LabelSet | None, uid: str, t_sec: float) -> list[str]:
    """The classes of the clips that contain this time."""
    if labels is None:
        return []
    t_sec += TIME_TOLERANCE_SEC
    clips = [c for c in labels.clips if c.video_uid == uid and c.start_sec <= t_sec < c.end_sec]
    return [
        f"label: {name}" for name in dict.fromkeys(labels.classes[label] for clip in clips for label in clip.all_labels)
    ]


def _teacher(reader: CacheReader, labels: LabelSet | None, unit: str, row: int) -> list[str]:
    """The teacher's most likely classes for a frame, with probabilities at temperature 1."""
    if labels is None or not labels.has_logits or unit not in reader.logits_units(labels.name):
        return []
    shares = np.exp(log_softmax(reader.logits(labels.name, unit).logits(row, row + 1, 0))[0])
    return [f"teacher: {labels.classes[c]} {100 * shares[c]:.0f} %" for c in np.argsort(-shares)[:TOP_K]]
