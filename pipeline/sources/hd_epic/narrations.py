"""The narrations of HD-EPIC as rows of text cells: of the pickle as it is published, or of a CSV file made of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.hd_epic.layout import CONVERTED, PICKLE
from embedonce.pipeline.sources.hd_epic.pickle_data import PickleDataError
from embedonce.pipeline.sources.hd_epic.pickled_frame import frame_columns
from embedonce.pipeline.sources.manifest.cell_text import text_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.table import Cells
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table


class Narrations:
    """The narrations in a file, of which a pickle is read once, when this is made.

    columns: those that rows() may be asked for. InputError if the file is a pickle that cannot be opened, holds no
    table of plain values, or lacks a column.
    """

    def __init__(self, path: Path, columns: Sequence[str]):
        self.path = path
        self._values = _values(path, columns) if path.name == PICKLE else None

    def rows(self, columns: Sequence[str], problems: ProblemsOfTables) -> Iterator[tuple[int, Cells]]:
        """(line, as problems name it; cells) of each narration; lists are written as in Python, such as `[3, 34]`.

        Whatever is wrong with single values, or with a CSV file, becomes a problem.
        """
        if self._values is None:
            yield from rows_of_table(self.path, columns, problems)
            return
        for number, row in enumerate(zip(*(self._values[column] for column in columns), strict=True), 1):
            line = problems.line_of(self.path.name, number)
            try:
                yield line, {column: _text(column, value) for column, value in zip(columns, row, strict=True)}
            except ValueError as error:
                problems.add(line, str(error))


def _values(path: Path, columns: Sequence[str]) -> dict[str, list]:
    try:
        values = frame_columns(path, columns)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except PickleDataError as error:
        raise InputError(
            f"{path} cannot be read without running code of it ({error}): if you trust the file, convert it with "
            f"python -c \"import pandas; pandas.read_pickle('{PICKLE}').to_csv('{CONVERTED}', index=False)\""
        ) from error
    missing = [name for name in columns if name not in values]
    if missing:
        raise InputError(f"{path}: expected a column {missing[0]}, got {', '.join(values) or 'others'}")
    return values


def _text(column: str, value: object) -> str:
    return str(value) if isinstance(value, list) else text_of(column, value)
