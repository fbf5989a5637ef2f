"""The rows of the lists of Charades-Ego as clips: moments of each video with the actions in them, or whole videos."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from embedonce.pipeline.sources.charades_ego.kinds import BOTH, FIRST, THIRD, CharadesKind
from embedonce.pipeline.sources.charades_ego.layout import CLASSES, VideoList, name_of_video
from embedonce.pipeline.sources.charades_ego.moments import Action, Moment, moments_of
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import LABEL_SEPARATOR, seconds_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.table import Cells
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders

ID, ACTIONS, LENGTH, EGOCENTRIC = "id", "actions", "length", "egocentric"
_VIEWS = {"yes": FIRST, "no": THIRD}  # by the text of the column EGOCENTRIC
_TEXTS = {FIRST: "Yes", THIRD: "No", BOTH: "Yes or No"}


class CharadesRows:
    """The clips of one kind in some lists. names: of the classes, by code.

    Once all rows are read: num_without, the number of videos without any action, which have no clip; num_empty, that of
    actions that end when they begin, which are left out.
    """

    def __init__(
        self,
        folder: Path,
        lists: Sequence[VideoList],
        kind: CharadesKind,
        videos: VideoFolders,
        names: Mapping[str, str],
        problems: ProblemsOfTables,
    ):
        self._folder, self._lists, self._kind = folder, lists, kind
        self._videos, self._names, self._problems = videos, names, problems
        self._line_of_id: dict[str, int] = {}
        self.num_without = self.num_empty = 0

    def __iter__(self) -> Iterator[ManifestRow]:
        columns = (ID, ACTIONS, EGOCENTRIC, *((LENGTH,) if self._kind.is_whole else ()))
        for video_list in self._lists:
            for line, cells in rows_of_table(self._folder / video_list.name, columns, self._problems):
                view = _VIEWS.get(cells[EGOCENTRIC].strip().lower())
                if view is None or video_list.view not in (BOTH, view):
                    self._problems.add(line, expected(EGOCENTRIC, _TEXTS[video_list.view], cells[EGOCENTRIC]))
                elif self._kind.view in (BOTH, view):
                    yield from self._clips(line, cells, video_list.split)

    def _clips(self, line: int, cells: Cells, split: str) -> Iterator[ManifestRow]:
        """The clips of one video; none, after all that is wrong was reported, if a cell cannot be understood."""
        reader = CellReader(line, cells, self._problems)
        video = reader.needed(ID, self._file, "")
        length = reader.needed(LENGTH, _length, 0.0) if self._kind.is_whole else 0.0
        first = self._line_of_id.setdefault(video, line)
        if video and first != line:
            self._problems.add(line, f"id: {cells[ID].strip()!r} is on {self._problems.place(first)}, too")
        actions = list(self._actions(line, cells[ACTIONS]))
        if reader.has_problems:
            return
        self.num_without += not actions
        for start, end, names in _whole(actions, length) if self._kind.is_whole else moments_of(actions):
            yield ManifestRow(line, video, start, end, LABEL_SEPARATOR.join(names), split)

    def _file(self, column: str, text: str) -> str:
        try:
            return name_of_video(self._videos, text)
        except ValueError as error:
            raise ValueError(expected(column, "the id of a video, such as ABCDE or ABCDEEGO", text)) from error

    def _actions(self, line: int, cell: str) -> Iterator[Action]:
        """The actions of a cell such as `c092 11.90 21.20;c147 0.00 12.60`; each that is wrong becomes a problem."""
        for text in filter(None, map(str.strip, cell.split(";"))):
            try:
                action = self._action(text)
            except ValueError as error:
                self._problems.add(line, str(error))
                continue
            if action.start_sec < action.end_sec:
                yield action
            else:
                self.num_empty += 1

    def _action(self, text: str) -> Action:
        code, *times = text.split()
        if len(times) != 2:
            raise ValueError(expected(ACTIONS, "a class, a start and an end, such as c092 11.90 21.20", text))
        if code not in self._names:
            raise ValueError(expected(ACTIONS, f"one of the {len(self._names)} classes of {CLASSES}", text))
        start, end = (seconds_of(ACTIONS, time) for time in times)
        if end < start:
            raise ValueError(expected(ACTIONS, "an end after the start", text))
        return Action(self._names[code], start, end)


def _length(column: str, text: str) -> float:
    length = seconds_of(column, text)
    if not length:
        raise ValueError(expected(column, "more than 0 s", text))
    return length


def _whole(actions: Iterable[Action], length: float) -> list[Moment]:
    """The whole video, if it has any action."""
    names = sorted({action.name for action in actions})
    return [Moment(0.0, length, tuple(names))] if names else []
