"""Reads a list: a text file without a header, one entry per line."""

from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.table import TableError
from embedonce.pipeline.sources.manifest.text_lines import text_lines


def lines_of_list(path: Path, problems: ProblemsOfTables) -> Iterator[tuple[int, str]]:
    """(line, as problems name it; its text) of each line that is not empty. InputError if the file cannot be opened."""
    try:
        for number, text in enumerate(text_lines(path), 1):
            if text.strip():
                yield problems.line_of(path.name, number), text.strip()
    except TableError as error:
        problems.add(problems.line_of(path.name, error.line), str(error))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
