"""Everything that is wrong with a table, as one list: the first problems by line, and the number of all."""

import bisect
from collections.abc import Collection

from embedonce.pipeline.errors import InputError

MAX_SHOWN = 20
MAX_VALUE_LENGTH = 80


class LineProblems:
    """The problems of one table, in bounded memory. where: the file; unit: what its rows are counted in."""

    def __init__(self, where: object, unit: str = "line"):
        self.where, self.unit = where, unit
        self._first: list[tuple[int, str]] = []  # sorted; at most MAX_SHOWN
        self.count = 0

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
        raise InputError(sentence).with_details(f"  {self.unit} {line}: {message}" for line, message in self._first)


def expected(column: str, what: str, value: str) -> str:
    """The message about one cell."""
    return f"{column}: expected {what}, got {shown(value)}"


def shown(value: str) -> str:
    """A value as it is quoted in messages."""
    if not value:
        return "nothing"
    text = repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 1]}…"
