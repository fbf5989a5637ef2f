"""Everything that is wrong with a table, as one list: the first problems by line, and the number of all."""

import bisect
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

from embedonce.pipeline.errors import InputError

MAX_SHOWN = 20
MAX_VALUE_LENGTH = 80
MAX_PATH_LENGTH = 400
MAX_LINES = 1 << 40  # of one of several tables


class LineProblems:
    """The problems of one table, in bounded memory. where: the file; unit: what its rows are counted in."""

    def __init__(self, where: object, unit: str = "line"):
        self.where, self.unit = where, unit
        self._first: list[tuple[int, str]] = []  # sorted; at most MAX_SHOWN
        self.count = 0

    def place(self, line: int) -> str:
        """Where a line is, as messages say it."""
        return f"{self.unit} {line}"

    def add(self, line: int, message: str) -> None:
        """Report one problem."""
        self.add_all([line], message)

    def add_all(self, lines: Collection[int], message: str, count: int | None = None) -> None:
        """Report the same problem of several lines. count: of all of them, if `lines` are only the first."""
        self.count += len(lines) if count is None else count
        for line in lines:
            bisect.insort(self._first, (line, message))
        del self._first[MAX_SHOWN:]

    def check(self) -> None:
        """Raise InputError with all problems, if there are any."""
        if not self.count:
            return
        first = f", first {len(self._first)} shown" if self.count > len(self._first) else ""
        sentence = f"{self.count} problem{'s' * (self.count > 1)} in {self.where}{first}:"
        raise InputError(sentence).with_details(f"  {self.place(line)}: {message}" for line, message in self._first)


class ProblemsOfTables(LineProblems):
    """The problems of several tables as one list. where: their folder; tables: their names, in the order of the list.

    A line of any of them is one number, which line_of() makes; line 0 stands for the whole file. units: suffix of a
    file -> what its rows are counted in, if not in lines.
    """

    def __init__(self, where: object, tables: Sequence[str], units: Mapping[str, str] | None = None):
        super().__init__(where)
        self._tables, self._units = tuple(tables), dict(units or {})

    def line_of(self, table: str, line: int) -> int:
        return self._tables.index(table) * MAX_LINES + line

    def place(self, line: int) -> str:
        index, number = divmod(line, MAX_LINES)
        table = self._tables[index]
        unit = self._units.get(PurePath(table).suffix, self.unit)
        return f"{table}, {unit} {number}" if number else table


def expected(column: str, what: str, value: str) -> str:
    """The message about one cell."""
    return f"{column}: expected {what}, got {shown(value)}"


def shown(value: str) -> str:
    """A value as it is quoted in messages."""
    if not value:
        return "nothing"
    text = repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 1]}…"


def shown_path(path: str) -> str:
    """A path as it is named in messages: without its middle if it is too long for one."""
    half = MAX_PATH_LENGTH // 2
    return path if len(path) <= MAX_PATH_LENGTH else f"{path[:half]}…{path[-half:]}"
