"""The times of the clips of EGTEA Gaze+ in the videos of their sessions: action_labels.csv, in milliseconds."""

import re
from pathlib import Path

from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected, shown
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table

TABLE = "action_labels.csv"
_FOLDERS = ("raw_annotations", ".")
PREFIX, START, END = "clip prefix (unique)", "starting time (ms)", "ending time (ms)"
_MILLISECONDS = re.compile(r"\d{1,12}(\.\d*)?", re.ASCII)


def times_table(folder: Path) -> Path | None:
    """The table of times, next to the lists or in a folder of its own; None if there is none."""
    return next((path for name in _FOLDERS if (path := folder / name / TABLE).is_file()), None)


def times_in_table(path: Path, problems: ProblemsOfTables) -> dict[str, tuple[float, float]]:
    """Prefix of a clip -> (start_sec, end_sec). Whatever is wrong with the table becomes a problem."""
    times: dict[str, tuple[float, float]] = {}
    for line, cells in rows_of_table(path, (PREFIX, START, END), problems):
        reader = CellReader(line, cells, problems)
        window = reader.needed(START, _seconds, 0.0), reader.needed(END, _seconds, 0.0)
        if reader.has_problems:
            continue
        prefix = cells[PREFIX].strip()
        if times.setdefault(prefix, window) != window:
            problems.add(line, f"{PREFIX}: {shown(prefix)} has other times in another row")
    return times


def _seconds(column: str, text: str) -> float:
    if not _MILLISECONDS.fullmatch(text):
        raise ValueError(expected(column, "milliseconds, such as 66680", text))
    return float(text) / 1000
