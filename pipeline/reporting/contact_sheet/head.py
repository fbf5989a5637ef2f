"""The top of a contact sheet: what the cache is, in figures, what is shown of it, and the filter. Markup."""

from collections.abc import Sequence

from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.reporting.contact_sheet.names import title_of
from embedonce.pipeline.reporting.contact_sheet.selection import Selection
from embedonce.pipeline.reporting.contact_sheet.texts import SHORT, counted, size, text

SHOWN_LINES = 200


def head(reader: CacheReader, lines: Sequence[str], labels: LabelSet | None) -> str:
    """The title, figures, and the summary to unfold. lines: of the summary."""
    tiles = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _figures(reader, labels))
    teacher = reader.identity.teacher
    about = f"{reader.cache_dir} · teacher {teacher.name} ({teacher.weights}), {teacher.embed_dim} dimensions"
    shown = "\n".join(text(line, 400) for line in lines[:SHOWN_LINES])
    return (
        f'<header><div><h1>{text(title_of(reader))}</h1><p class="faint">{text(about, 400)}</p>'
        f'{_label_line(reader, labels)}</div><dl class="tiles">{tiles}</dl></header>'
        f"<details><summary>Summary of the cache</summary><pre>{shown}</pre></details>"
    )


def _figures(reader: CacheReader, labels: LabelSet | None) -> list[tuple[str, str]]:
    hours = sum(video.end_sec for part in reader.plan() for video in part.videos) / 3600
    num_bytes = sum(record.num_bytes for record in reader.records.values())
    figures = [("videos", f"{len(reader.video_uids):,}"), ("frames", f"{reader.num_rows:,}")]
    figures += [("hours", f"{hours:,.2f}")] if hours else []
    figures += [("size", size(num_bytes))]
    if labels is not None:
        figures += [("clips", f"{len(labels.clips):,}")]
        figures += [("classes", f"{len(labels.classes):,}")] if labels.classes else []
    lost = sum(count for status, count in reader.count_statuses().items() if status != "ok")
    figures += [("missing frames", f"{lost:,}")] if lost else []
    quarantined = len(reader.quarantined())
    return figures + ([("quarantined", f"{quarantined:,}")] if quarantined else [])


def _label_line(reader: CacheReader, labels: LabelSet | None) -> str:
    names = reader.label_sets()
    if labels is not None:
        others = [name for name in names if name != labels.name]
        more = f" Others: {text(', '.join(others), 400)} (--label-set)." if others else ""
        kind = labels.kind if labels.has_logits else "without logits"
        return f"<p>Label set <b>{text(labels.name, SHORT)}</b> ({text(kind)}).{more}</p>"
    if names:
        return f"<p>Choose a label set to see its clips: --label-set with one of {text(', '.join(names), 400)}.</p>"
    return "<p>The cache has no label set.</p>"


def sampled(reader: CacheReader, labels: LabelSet | None, selection: Selection) -> str:
    """What of the cache is shown."""
    frames, total = len({(frame.unit, frame.row) for frame in selection.frames}), reader.num_rows
    if not total:
        return '<p class="sampled">The cache has no frames yet.</p>'
    words = (
        f"{frames:,} of {total:,} frames shown, from {len(selection.by_video):,} of {len(reader.video_uids):,} videos"
    )
    if labels is not None and labels.clips:
        clips = sum(strip.clip is not None for strip in selection.strips)
        words += f" and {clips:,} of {counted(len(labels.clips), 'clip')}"
    how = ", at equal steps and evenly over videos and classes" if frames < total else ""
    return f'<p class="sampled">{words}{how}.</p>'


def controls(splits: Sequence[str]) -> str:
    """The filter box, a choice of splits if there are several, and buttons that open and close all videos."""
    options = "".join(f'<option value="{text(split)}">{text(split, SHORT)}</option>' for split in splits)
    choice = f'<select id="split" aria-label="split"><option value="">all splits</option>{options}</select>'
    return (
        '<div class="controls"><input id="filter" type="search" placeholder="Filter by file, class or split" '
        f'aria-label="filter by file, class or split" autocomplete="off"/>{choice if len(splits) > 1 else ""}'
        '<button type="button" id="open-all">Open all</button><button type="button" id="close-all">Close all</button>'
        '<output id="matches" aria-live="polite"></output></div>'
    )
