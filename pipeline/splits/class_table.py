"""A text table of the number of clips by class and split, of limited length; classes with gaps are marked."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from embedonce.pipeline.console.printable import one_line
from embedonce.pipeline.splits.assignment import selection_uids

MAX_ROWS = 20  # classes shown
MAX_NAME_WIDTH = 40  # terminal columns
COLUMNS = ("train", "selection", "val", "test")
REQUIRED_COLUMNS = {"train": "training", "selection": "selection", "val": "validation"}  # -> word for messages


class LabeledClip(Protocol):
    """all_labels: indexes of its classes, none if it is unlabeled."""

    @property
    def all_labels(self) -> tuple[int, ...]: ...

    @property
    def split(self) -> str: ...

    @property
    def video_uid(self) -> str: ...


def class_table(
    classes: Sequence[str], clips: Iterable[LabeledClip], unit: str = "clips", title: str = ""
) -> list[str]:
    """Lines of a table: one row per class, at most MAX_ROWS, and the total. If rows are left out, those with gaps stay.

    A clip of several classes counts in the row of each, and once in the total. Selection clips belong to training
    videos; the column train counts the other ones. unit: what is counted, for the heading. title: what the table is
    about.
    """
    placed = _placed(list(clips))
    counts: dict[int, Counter] = defaultdict(Counter)
    for column, labels in placed:
        for label in labels or (-1,):
            counts[label][column] += 1
    labeled = [(label, counts.get(label, Counter())) for label in range(len(classes))]
    shown = _chosen(labeled)
    rows = [(_short(classes[label]), columns, _gaps(columns)) for label, columns in shown]
    if counts.get(-1):
        rows.append(("(no class)", counts[-1], ""))
    total = Counter(column for column, _ in placed)
    footer = (f"{len(classes)} classes" if classes else "total", total, "")
    table = _aligned([*rows, footer] if classes else [footer])
    if len(shown) < len(labeled):
        num_gaps = sum(bool(_gaps(columns)) for _, columns in labeled)
        hidden = f"  … and {len(labeled) - len(shown)} more classes; {num_gaps} of {len(labeled)} lack clips of a split"
        table.insert(len(shown) + 1, hidden)
    head = f"{title + ': ' if title else ''}{unit} by class and split"
    return [f"{head} (selection: training {unit} that only choose the best epoch):", *table]


def _placed(clips: list[LabeledClip]) -> list[tuple[str, tuple[int, ...]]]:
    """The column and the labels of each clip."""
    labels: dict[str, set[int]] = defaultdict(set)
    for clip in clips:
        if clip.split == "train":
            labels[clip.video_uid].update(clip.all_labels)
    selection = selection_uids(labels, labels)
    is_selected = [clip.split == "train" and clip.video_uid in selection for clip in clips]
    columns = ("selection" if selected else clip.split for clip, selected in zip(clips, is_selected, strict=True))
    return [(column, clip.all_labels) for column, clip in zip(columns, clips, strict=True)]


def _chosen(labeled: list[tuple[int, Counter]]) -> list[tuple[int, Counter]]:
    """All classes if they are few; else those with the largest gaps, up to half of the rows, and the most frequent."""
    if len(labeled) <= MAX_ROWS:
        return labeled
    with_gaps = [pair for pair in labeled if _gaps(pair[1])]
    with_gaps.sort(key=lambda pair: (pair[1]["train"] > 0, pair[1]["val"] > 0, pair[1].total(), pair[0]))
    first = with_gaps[: MAX_ROWS // 2]
    rest = sorted((pair for pair in labeled if pair not in first), key=lambda pair: (-pair[1].total(), pair[0]))
    return first + rest[: MAX_ROWS - len(first)]


def _gaps(columns: Counter) -> str:
    """The kinds of clips that a class does not have, in words; "" if it has all."""
    missing = [word for column, word in REQUIRED_COLUMNS.items() if not columns[column]]
    return f"no {' and no '.join(missing)} clip" if missing else ""


def _aligned(rows: list[tuple[str, Counter, str]]) -> list[str]:
    """rows: (name, number of clips by column, remark). The column test is left out if it is empty."""
    columns = [column for column in COLUMNS if column != "test" or any(counts["test"] for _, counts, _ in rows)]
    width = max(_width(name) for name, _, _ in rows)
    lines = ["  " + " " * width + "".join(f"  {column:>9}" for column in (*columns, "total"))]
    for name, counts, remark in rows:
        numbers = "".join(f"  {number:>9}" for number in (*(counts[column] for column in columns), counts.total()))
        lines.append(f"  {name}{' ' * (width - _width(name))}{numbers}" + (f"  <- {remark}" if remark else ""))
    return lines


def _short(name: str) -> str:
    """The name, shortened to MAX_NAME_WIDTH columns."""
    name = one_line(name)
    if _width(name) <= MAX_NAME_WIDTH:
        return name
    while _width(name) >= MAX_NAME_WIDTH:
        name = name[:-1]
    return name + "…"


def _width(text: str) -> int:
    """Terminal columns of a text: two for wide characters, none for marks and joiners."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in text)
