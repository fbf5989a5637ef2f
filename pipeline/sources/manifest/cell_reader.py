"""Reads the cells of one row of a table, and reports those that mean nothing."""

from collections.abc import Callable
from typing import TypeVar

from embedonce.pipeline.sources.manifest.line_problems import LineProblems
from embedonce.pipeline.sources.manifest.table import Cells

Value = TypeVar("Value")
Parse = Callable[[str, str], Value]  # gets column and text; ValueError, with what was expected, for other text


class CellReader:
    """The cells of a row that begins on `line`. has_problems: whether anything was reported since it was made."""

    def __init__(self, line: int, cells: Cells, problems: LineProblems):
        self._line, self._cells, self._problems = line, cells, problems
        self._before = problems.count

    @property
    def has_problems(self) -> bool:
        return self._problems.count > self._before

    def value(self, column: str, parse: Parse[Value], default: Value) -> Value:
        """The value of a cell; the default if it is empty or, after a report, means nothing."""
        return self.needed(column, parse, default) if self._cells.get(column, "").strip() else default

    def needed(self, column: str, parse: Parse[Value], default: Value) -> Value:
        """The value of a cell that must not be empty; the default, after a report, if it means nothing."""
        try:
            return parse(column, self._cells.get(column, "").strip())
        except ValueError as error:
            self._problems.add(self._line, str(error))
            return default
