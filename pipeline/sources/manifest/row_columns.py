"""The rows of a manifest as columns: about 30 bytes per row, and the texts that it gives."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from embedonce.pipeline.sources.manifest.cell_values import LABEL_SEPARATOR
from embedonce.pipeline.sources.manifest.line_problems import MAX_SHOWN, LineProblems, shown_path
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.video_files import VideoFiles, public_name


@dataclass
class Filling:
    """In which rows a column has no value; a column without any value counts as absent."""

    num_filled: int = 0
    num_empty: int = 0
    first_empty: list[int] = field(default_factory=list)  # lines

    def count(self, value: str, line: int) -> None:
        if value:
            self.num_filled += 1
            return
        self.num_empty += 1
        if len(self.first_empty) < MAX_SHOWN:
            self.first_empty.append(line)

    def report_gaps(self, problems: LineProblems, column: str, what: str) -> None:
        """A column that has values must have one in each row: tables that lost some look like this."""
        if self.num_filled and self.num_empty:
            message = f"{column}: expected {what}, got nothing, while other rows have one"
            problems.add_all(self.first_empty, message, self.num_empty)


class RowColumns:
    """The rows of one table, each array of one value per row.

    video: index in files.videos. start_sec, end_sec. label: index of its classes in label_sets. line. texts, uids:
    lists, empty if no row has one. splits: index of a video -> (split, line). clip_splits: the split of each row, if
    clips of one video may be in several splits; else None.
    """

    def __init__(self, files: VideoFiles, problems: LineProblems, has_clip_splits: bool = False):
        self.files, self.problems = files, problems
        self.clip_splits: list[str] | None = [] if has_clip_splits else None
        self._video, self._start, self._end = array("I"), array("d"), array("d")
        self._label, self._line = array("i"), array("Q")
        self.texts: list[str] = []
        self.uids: list[str] = []
        self.first_line: dict[str, int] = {}  # class name -> line
        self.splits: dict[int, tuple[str, int]] = {}
        self.labels, self.split, self.uid = Filling(), Filling(), Filling()
        self._label_index: dict[str, int] = {}
        self._label_sets: dict[tuple[int, ...], int] = {}
        self._same_texts: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._video)

    def __iter__(self) -> Iterator[tuple[int, float, float, int]]:
        """(video, start_sec, end_sec, index in label_sets) of each row."""
        return zip(self._video, self._start, self._end, self._label, strict=True)

    def add(self, row: ManifestRow) -> None:
        """Append a row, or report what is wrong with it."""
        if not max(row.start_sec, 0.0) < row.end_sec:
            self.problems.add(row.line, _wrong_window(row))
            return
        try:
            video = self.files.index_of(row.video, row.line)
        except ValueError as error:
            self.problems.add(row.line, f"video: {error}")
            return
        self._video.append(video)
        self._start.append(row.start_sec)
        self._end.append(row.end_sec)
        self._line.append(row.line)
        self._add_label(row)
        self._add_split(video, row)
        self._add_texts(row)

    def _add_label(self, row: ManifestRow) -> None:
        self.labels.count(row.label, row.line)
        names = row.label.split(LABEL_SEPARATOR) if row.label else []
        for name in names:
            self.first_line.setdefault(name, row.line)
            self._label_index.setdefault(name, len(self._label_index))
        labels = tuple(sorted(self._label_index[name] for name in names))
        self._label.append(self._label_sets.setdefault(labels, len(self._label_sets)))

    def _add_split(self, video: int, row: ManifestRow) -> None:
        self.split.count(row.split, row.line)
        if self.clip_splits is not None:
            self.clip_splits.append(row.split)
            return
        split, line = self.splits.setdefault(video, (row.split, row.line))
        if split != row.split and split and row.split:
            here = f"{shown_path(public_name(row.video))!r} is in {row.split!r} here"
            there = f"in {split!r} on {self.problems.place(line)}"
            message = f"split: {here} and {there}; all clips of a video must be in one split"
            self.problems.add(row.line, message)

    def _add_texts(self, row: ManifestRow) -> None:
        self.uid.count(row.uid, row.line)
        if row.uid or self.uids:
            self.uids += [""] * (len(self) - 1 - len(self.uids)) + [row.uid]
        if row.text or self.texts:
            text = self._same_texts.setdefault(row.text, row.text)
            self.texts += [""] * (len(self) - 1 - len(self.texts)) + [text]

    @property
    def label_sets(self) -> list[tuple[int, ...]]:
        """The classes that clips have together: indexes of classes in the order of first_line; () without a label."""
        return list(self._label_sets)

    @property
    def video(self) -> np.ndarray:
        return np.asarray(self._video)

    @property
    def start_sec(self) -> np.ndarray:
        return np.asarray(self._start)

    @property
    def end_sec(self) -> np.ndarray:
        return np.asarray(self._end)

    @property
    def label(self) -> np.ndarray:
        return np.asarray(self._label)

    @property
    def line(self) -> np.ndarray:
        return np.asarray(self._line)


def _wrong_window(row: ManifestRow) -> str:
    return f"end: expected a time after the start, {max(row.start_sec, 0):g} s, got {row.end_sec:g} s"
