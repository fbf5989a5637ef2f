"""Checks of a whole manifest, once all of its rows are read: class names, clip uids, rows that are there twice."""

from collections.abc import Iterator

import numpy as np

from embedonce.cache.limits import MAX_CLASSES
from embedonce.pipeline.naming.class_names import equivalent_names
from embedonce.pipeline.sources.manifest.line_problems import LineProblems
from embedonce.pipeline.sources.manifest.row_columns import RowColumns


def check_columns(rows: RowColumns, problems: LineProblems) -> None:
    """Report columns with gaps, class names that are alike, and clips that are there twice."""
    rows.labels.report_gaps(problems, "label", "a class name")
    rows.split.report_gaps(problems, "split", "train, val or test")
    rows.uid.report_gaps(problems, "uid", "the uid of the clip")
    _check_classes(rows, problems)
    _report_twice(rows.uids, rows.line, problems)
    if not rows.uids:
        for line, first in _repeated_rows(rows):
            problems.add(line, f"the same clip as on {problems.place(first)}: remove one of them, or give each a uid")


def _check_classes(rows: RowColumns, problems: LineProblems) -> None:
    first_line = rows.first_line
    if len(first_line) > MAX_CLASSES:
        last = max(first_line.values())
        problems.add(last, f"label: expected at most {MAX_CLASSES} classes, got {len(first_line)}")
        return
    for names in equivalent_names(first_line):
        first, *others = sorted(names, key=first_line.__getitem__)
        for name in others:
            problems.add(
                first_line[name],
                f"label: {name!r} differs from {first!r} ({problems.place(first_line[first])}) only in case, accents "
                "or how words are joined: write one of them everywhere",
            )


def _report_twice(uids: list[str], lines: np.ndarray, problems: LineProblems) -> None:
    if len(set(uids)) == len(uids):
        return
    first: dict[str, int] = {}
    for uid, line in zip(uids, lines.tolist(), strict=True):
        if uid and first.setdefault(uid, line) != line:
            problems.add(
                line, f"uid: {uid!r} is the uid of {problems.place(first[uid])}, too; every clip needs its own"
            )


def _repeated_rows(rows: RowColumns) -> Iterator[tuple[int, int]]:
    """(line, line of an equal row before it): the same video, times, class and text."""
    keys = (rows.label, rows.end_sec, rows.start_sec, rows.video)
    order = np.lexsort((rows.line, *keys))
    is_same = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        is_same &= key[order[1:]] == key[order[:-1]]
    for group in _runs(order, is_same):
        first: dict[str, int] = {}
        for row in group.tolist():
            text, line = rows.texts[row] if rows.texts else "", int(rows.line[row])
            if first.setdefault(text, line) != line:
                yield line, first[text]


def _runs(order: np.ndarray, is_same: np.ndarray) -> Iterator[np.ndarray]:
    """The parts of `order` with two or more equal rows; is_same[i]: rows i and i + 1 of it are equal."""
    bounds = np.flatnonzero(np.diff(np.concatenate(([0], is_same.astype(np.int8), [0]))))
    for start, stop in zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=True):
        yield order[start : stop + 1]
