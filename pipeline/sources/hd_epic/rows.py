"""The narrations of HD-EPIC as clips: which video, from when to when, and all of its verbs or nouns."""

import json
from collections.abc import Iterator, Mapping

from embedonce.pipeline.sources.hd_epic.layout import A_VIDEO, name_of_video
from embedonce.pipeline.sources.hd_epic.narrations import Narrations
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import LABEL_SEPARATOR, name_of, narration_of, seconds_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.table import Cells
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders

UID, VIDEO, START, END, TEXT = "unique_narration_id", "video_id", "start_timestamp", "end_timestamp", "narration"
COLUMNS = (UID, VIDEO, START, END, TEXT)


class HdEpicRows:
    """The narrations as clips. class_column, names: the column of the classes, and their names by id;
    None if the clips get no labels.

    Narrations without any class have no clip if clips have labels; once all rows are read, num_without counts them.
    """

    def __init__(
        self,
        narrations: Narrations,
        videos: VideoFolders,
        problems: ProblemsOfTables,
        class_column: str = "",
        names: Mapping[int, str] | None = None,
    ):
        self._narrations, self._videos, self._problems = narrations, videos, problems
        self._class_column, self._names = class_column, names
        self.num_without = 0

    def __iter__(self) -> Iterator[ManifestRow]:
        columns = (*COLUMNS, *(() if self._names is None else (self._class_column,)))
        for line, cells in self._narrations.rows(columns, self._problems):
            row = self._row(line, cells)
            if row is not None:
                yield row

    def _row(self, line: int, cells: Cells) -> ManifestRow | None:
        """None, after all that is wrong was reported or the narration was counted, if it is no clip."""
        reader = CellReader(line, cells, self._problems)
        row = ManifestRow(
            line,
            reader.needed(VIDEO, self._file, ""),
            reader.needed(START, seconds_of, 0.0),
            reader.needed(END, seconds_of, 0.0),
            "" if self._names is None else reader.needed(self._class_column, self._label, ""),
            text=reader.value(TEXT, narration_of, ""),
            uid=reader.needed(UID, _uid, ""),
        )
        if reader.has_problems:
            return None
        is_without = self._names is not None and not row.label
        self.num_without += is_without
        return None if is_without else row

    def _file(self, column: str, text: str) -> str:
        try:
            return name_of_video(self._videos, text)
        except ValueError as error:
            raise ValueError(expected(column, A_VIDEO, text)) from error

    def _label(self, column: str, text: str) -> str:
        """The names of the classes in a cell such as `[3, 34]`, each once; "" if there are none."""
        assert self._names is not None
        numbers = dict.fromkeys(_numbers(column, text))
        for number in numbers:
            if number not in self._names:
                raise ValueError(expected(column, f"numbers of {len(self._names)} classes", text))
        return LABEL_SEPARATOR.join(self._names[number] for number in numbers)


def _numbers(column: str, text: str) -> list[int]:
    try:
        numbers = json.loads(text)
    except (ValueError, RecursionError):
        numbers = None
    if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
        raise ValueError(expected(column, "a list of numbers of classes, such as [3, 34]", text))
    return numbers


def _uid(column: str, text: str) -> str:
    if not text:
        raise ValueError(expected(column, "the id of a narration", text))
    return name_of(column, text)
