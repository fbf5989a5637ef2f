"""The rows of the tables of EPIC-KITCHENS-100 as clips: which video, from when to when, and its verb or noun.

Times are those of the timestamps. The frame numbers of the tables count frames of other encodings of the videos.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from embedonce.pipeline.sources.epic.layout import SPLIT_OF_TABLE, VideoFinder
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import id_of, name_of, narration_of, seconds_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.table import Cells
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table

UID, VIDEO, START, STOP, TEXT = "narration_id", "video_id", "start_timestamp", "stop_timestamp", "narration"


class EpicRows:
    """The clips of both tables in a folder. class_column, names: the column of the classes, and their names by
    id; None if the clips get no labels.
    """

    def __init__(
        self,
        folder: Path,
        finder: VideoFinder,
        problems: ProblemsOfTables,
        class_column: str = "",
        names: Mapping[int, str] | None = None,
    ):
        self._folder, self._finder, self._problems = folder, finder, problems
        self._class_column, self._names = class_column, names

    def __iter__(self) -> Iterator[ManifestRow]:
        columns = (UID, VIDEO, START, STOP, TEXT, *(() if self._names is None else (self._class_column,)))
        for table, split in SPLIT_OF_TABLE.items():
            for line, cells in rows_of_table(self._folder / table, columns, self._problems):
                row = self._row(line, cells, split)
                if row is not None:
                    yield row

    def _row(self, line: int, cells: Cells, split: str) -> ManifestRow | None:
        """None, after all that is wrong was reported, if a cell cannot be understood."""
        reader = CellReader(line, cells, self._problems)
        row = ManifestRow(
            line,
            reader.needed(VIDEO, self._file, ""),
            reader.needed(START, seconds_of, 0.0),
            reader.needed(STOP, seconds_of, 0.0),
            "" if self._names is None else reader.needed(self._class_column, self._label, ""),
            split,
            reader.value(TEXT, narration_of, ""),
            reader.needed(UID, _uid, ""),
        )
        return None if reader.has_problems else row

    def _file(self, column: str, text: str) -> str:
        try:
            return self._finder.name_of(text)
        except ValueError as error:
            raise ValueError(expected(column, "the name of a video, such as P01_01", text)) from error

    def _label(self, column: str, text: str) -> str:
        assert self._names is not None
        number = id_of(column, text)
        if number not in self._names:
            raise ValueError(expected(column, f"the number of one of {len(self._names)} classes", text))
        return self._names[number]


def _uid(column: str, text: str) -> str:
    if not text:
        raise ValueError(expected(column, "the id of a narration", text))
    return name_of(column, text)
