"""Tables as rows of named cells, whatever the format of the file: one row at a time, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

Cells = dict[str, str]  # name of the column, in lower case -> text; "" for empty cells
BadRow = Callable[[int, str], None]  # gets the line of a row that is left out, and what was expected


class TableError(ValueError):
    """A table cannot be read from this line on. The message says what was expected."""

    def __init__(self, line: int, message: str):
        super().__init__(message)
        self.line = line


@dataclass
class Table:
    """A table that is being read.

    rows: (line, cells) of each row; TableError where the file cannot be read any further. unit: what lines are called
    in messages, "line" or "row". columns: in lower case -> as they are written in the file, in its order; those of JSON
    lines become known while the rows are read. first_line: that of the header, or of the first row without one.
    """

    rows: Iterator[tuple[int, Cells]]
    unit: str = "line"
    columns: dict[str, str] = field(default_factory=dict)
    first_line: int = 1


def lower_names(names: Sequence[str], line: int = 1) -> list[str]:
    """The names of columns in lower case, without spaces around them. TableError if two are equal and not empty."""
    lower = [name.strip().casefold() for name in names]
    again = sorted({name for name in lower if name and lower.count(name) > 1})
    if again:
        raise TableError(line, f"the column {again[0]!r} is there twice: rename or remove one of the two")
    return lower
