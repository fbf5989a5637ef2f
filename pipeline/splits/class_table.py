"""How many clips each class has in each split, as a table of bounded length, with the classes that lack some marked.

Pure functions of clips; reads nothing.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from embedonce.pipeline.console.printable import one_line
from embedonce.pipeline.splits.assignment import selection_uids

MAX_ROWS = 20  # classes shown
MAX_NAME = 40  # columns of a terminal
COLUMNS = ("train", "selection", "val", "test")
NEEDED = {"train": "training", "selection": "selection", "val": "validation"}


class LabeledClip(Protocol):
    """What a clip has to have: a class or -1, a split, and the video it is of."""

    label: int
    split: str
    video_uid: str


def class_table(
    classes: Sequence[str], clips: Iterable[LabeledClip], unit: str = "clips", title: str = ""
) -> list[str]:
    """Lines of a table: a row per class, at most MAX_ROWS of them, those that lack something first; then the total.

    Selection clips are taken from the training videos; train counts the others. unit: what is counted. title: of what.
    """
    counts = _count(list(clips))
    labeled = [(label, counts.get(label, Counter())) for label in range(len(classes))]
    shown = _chosen(labeled)
    rows = [(_short(classes[label]), found, _lacks(found)) for label, found in shown]
    if counts.get(-1):
        rows.append(("(no class)", counts[-1], ""))
    total = sum(counts.values(), Counter())
    footer = (f"{len(classes)} classes" if classes else "total", total, "")
    table = _aligned([*rows, footer] if classes else [footer])
    if len(shown) < len(labeled):
        lacking = sum(bool(_lacks(found)) for _, found in labeled)
        hidden = f"  … and {len(labeled) - len(shown)} more classes; {lacking} of {len(labeled)} lack clips of a split"
        table.insert(len(shown) + 1, hidden)
    head = f"{title + ': ' if title else ''}{unit} by class and split"
    return [f"{head} (selection: training {unit} that only choose the best epoch):", *table]


def _count(clips: list[LabeledClip]) -> dict[int, Counter]:
    """label -> clips by column."""
    held = selection_uids({clip.video_uid for clip in clips if clip.split == "train"})
    counts: dict[int, Counter] = {}
    for clip in clips:
        column = "selection" if clip.split == "train" and clip.video_uid in held else clip.split
        counts.setdefault(clip.label, Counter())[column] += 1
    return counts


def _chosen(labeled: list[tuple[int, Counter]]) -> list[tuple[int, Counter]]:
    """All classes where they are few; else those that lack most, up to half of the rows, and the most frequent."""
    if len(labeled) <= MAX_ROWS:
        return labeled
    odd = [pair for pair in labeled if _lacks(pair[1])]
    odd.sort(key=lambda pair: (pair[1]["train"] > 0, pair[1]["val"] > 0, pair[1].total(), pair[0]))
    first = odd[: MAX_ROWS // 2]
    rest = sorted((pair for pair in labeled if pair not in first), key=lambda pair: (-pair[1].total(), pair[0]))
    return first + rest[: MAX_ROWS - len(first)]


def _lacks(found: Counter) -> str:
    lacking = [word for column, word in NEEDED.items() if not found[column]]
    return f"no {' and no '.join(lacking)} clip" if lacking else ""


def _aligned(rows: list[tuple[str, Counter, str]]) -> list[str]:
    columns = [column for column in COLUMNS if column != "test" or any(found["test"] for _, found, _ in rows)]
    width = max(_width(name) for name, _, _ in rows)
    lines = ["  " + " " * width + "".join(f"  {column:>9}" for column in (*columns, "total"))]
    for name, found, lacks in rows:
        numbers = "".join(f"  {number:>9}" for number in (*(found[column] for column in columns), found.total()))
        lines.append(f"  {name}{' ' * (width - _width(name))}{numbers}" + (f"  <- {lacks}" if lacks else ""))
    return lines


def _short(name: str) -> str:
    """The name as it is shown, in at most MAX_NAME columns."""
    name = one_line(name)
    if _width(name) <= MAX_NAME:
        return name
    while _width(name) >= MAX_NAME:
        name = name[:-1]
    return name + "…"


def _width(text: str) -> int:
    """Columns that a terminal gives a text: two for wide characters, none for marks and joiners."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in text)
