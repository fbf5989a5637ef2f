"""How many clips each class and each split of a label set has, as tables with bars. Pure: labels in, markup out."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.pipeline.reporting.contact_sheet.texts import SHORT, counted, text
from embedonce.pipeline.reporting.html.markup import Cell, table

SPLITS = ("train", "val", "test")
SHOWN_CLASSES = 30  # the most frequent ones; of the others, the rarest are named
RAREST = 5
NO_CLASS = -1
BAR = 240  # SVG units


def class_table(labels: LabelSet) -> str:
    """Clips of each class by split. A clip of several classes counts in each of them."""
    splits = splits_of(labels.clips)
    if not labels.classes:
        return f"<p>Label set {text(labels.name)} has no classes.</p>"
    counts = _counts(labels)
    most = max(1, *(counter.total() for counter in counts.values()))
    unlabeled = counts.pop(NO_CLASS)
    order = sorted(counts, key=lambda number: (-counts[number].total(), number))
    rows = [_class_row(text(labels.classes[n], SHORT), counts[n], splits, most) for n in order[:SHOWN_CLASSES]]
    rows += [_class_row("no class", unlabeled, splits, most)] if unlabeled.total() else []
    caption = f"Clips by class and split, label set {labels.name}"
    key = "".join(f'<span class="key"><i class="s{i % 4}"></i>{text(s, SHORT)}</span>' for i, s in enumerate(splits))
    found = table(("class", *(text(s, SHORT) for s in splits), "all", key), rows, caption, "bars")
    return found + _rest(labels, order, counts)


def _counts(labels: LabelSet) -> dict[int, Counter[str]]:
    """class, or NO_CLASS -> clips by split."""
    counts: dict[int, Counter[str]] = {number: Counter() for number in (*range(len(labels.classes)), NO_CLASS)}
    for clip in labels.clips:
        for label in clip.all_labels or (NO_CLASS,):
            counts[label][clip.split] += 1
    return counts


def splits_of(clips: Sequence[ClipLabel]) -> list[str]:
    """The splits that occur: the usual ones first."""
    found = {clip.split for clip in clips}
    return [split for split in SPLITS if split in found] + sorted(found - set(SPLITS))


def split_table(labels: LabelSet) -> str:
    """Clips, videos, hours and classes of each split."""
    of_split: dict[str, list[ClipLabel]] = defaultdict(list)
    for clip in labels.clips:
        of_split[clip.split].append(clip)
    if not of_split:
        return f"<p>Label set {text(labels.name)} has no clips.</p>"
    rows = [
        _split_row(split, of_split[split], _bar([0] * place + [len(of_split[split])], len(labels.clips)))
        for place, split in enumerate(splits_of(labels.clips))
    ]
    return table(("split", "clips", "videos", "hours", "classes", "share of all clips"), rows, "Clips by split", "bars")


def _split_row(split: str, clips: Sequence[ClipLabel], bar: str) -> list[Cell]:
    hours = sum(clip.end_sec - clip.start_sec for clip in clips) / 3600
    videos = {clip.video_uid for clip in clips}
    classes = {label for clip in clips for label in clip.all_labels}
    return [text(split, SHORT), f"{len(clips):,}", f"{len(videos):,}", f"{hours:.2f}", f"{len(classes):,}", bar]


def _class_row(name: str, counts: Counter[str], splits: Sequence[str], most: int) -> list[Cell]:
    numbers = [counts[split] for split in splits]
    return [name, *(f"{n:,}" if n else '<span class="faint">0</span>' for n in numbers), f"{sum(numbers):,}",
            _bar(numbers, most)]  # fmt: skip


def _rest(labels: LabelSet, order: Sequence[int], counts: dict[int, Counter[str]]) -> str:
    """What is left out of the table of classes."""
    rest = order[SHOWN_CLASSES:]
    if not rest:
        return ""
    rare = ", ".join(f"{text(labels.classes[n], SHORT)} ({counts[n].total():,})" for n in rest[: -RAREST - 1 : -1])
    total = sum(counts[number].total() for number in rest)
    return f'<p class="faint">{len(rest):,} more classes with {counted(total, "clip")}; the rarest: {rare}.</p>'


def _bar(counts: Sequence[int], most: int) -> str:
    """A bar of as many parts as there are splits. most: the count of a full bar."""
    parts, left = [], 0.0
    for place, count in enumerate(counts):
        width = BAR * count / most
        if count:
            parts.append(
                f'<rect class="s{place % 4}" x="{left:.1f}" y="2" width="{max(width - 0.5, 0.5):.1f}" height="10"/>'
            )
        left += width
    size = f'width="{BAR}" height="14" viewBox="0 0 {BAR} 14" preserveAspectRatio="none"'
    return (
        f'<svg class="bar" {size} aria-hidden="true"><rect class="track" y="2" width="{BAR}" height="10"/>'
        f"{''.join(parts)}</svg>"
    )
