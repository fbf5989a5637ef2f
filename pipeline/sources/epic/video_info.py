"""The durations of the videos of EPIC-KITCHENS-100, by its table of videos."""

from dataclasses import replace
from pathlib import Path

from embedonce.pipeline.sources.epic.layout import INFO_TABLE
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import seconds_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table
from embedonce.pipeline.sources.source import Source

VIDEO, DURATION = "video_id", "duration"


def durations(folder: Path, problems: ProblemsOfTables) -> dict[str, float]:
    """Video -> its duration in seconds; {} without a table. Whatever is wrong with the table becomes a problem."""
    path = folder / INFO_TABLE
    if not path.is_file():
        return {}
    rows = rows_of_table(path, (VIDEO, DURATION), problems)
    return {
        cells[VIDEO].strip(): CellReader(line, cells, problems).needed(DURATION, seconds_of, 0.0)
        for line, cells in rows
    }


def with_durations(source: Source, duration_of: dict[str, float]) -> Source:
    """The source with the listed times of its videos, unless the table lacks any of them: sums would be too low."""
    if any(video.uid not in duration_of for video in source.videos):
        return source
    videos = (replace(video, listed_sec=(0.0, duration_of[video.uid])) for video in source.videos)
    return replace(source, videos=tuple(videos))
