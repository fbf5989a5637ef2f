"""The JSON files of Ego-Exo4D: what is wrong with them, and the values in them."""

import math
from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.sources.ego4d.parsing.json_stream import entries, members
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from embedonce.pipeline.sources.manifest.line_problems import MAX_VALUE_LENGTH, ProblemsOfTables, expected


class _FileProblems(Problems):
    """Reports files that are no such JSON files to a list of problems."""

    def __init__(self, problems: ProblemsOfTables):
        super().__init__()
        self._problems = problems

    def add_file(self, name: str, expected: str, value: object) -> None:
        self._problems.add(self._problems.line_of(name, 0), f"expected {expected}, got {value}")


def members_of(path: Path, key: str, problems: ProblemsOfTables) -> Iterator[tuple[int, str, object]]:
    """(line, as problems name it; member; value) of each member of the object `key` of a file, one at a time."""
    for number, (_, member, value) in enumerate(members(path, key, path.name, _FileProblems(problems)), 1):
        yield problems.line_of(path.name, number), member, value


def entries_of(path: Path, problems: ProblemsOfTables) -> Iterator[tuple[int, object]]:
    """(line, as problems name it; value) of each entry of the list that a file holds, one at a time."""
    for number, (_, value) in enumerate(entries(path, "", path.name, _FileProblems(problems)), 1):
        yield problems.line_of(path.name, number), value


def text_in(values: dict, name: str) -> str:
    """A text without spaces around it. ValueError if it is none, or empty."""
    value = values.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(wrong(name, "text", value))
    return value.strip()


def seconds_in(values: dict, name: str) -> float:
    """A time in seconds. ValueError if it is none, or negative."""
    value = values.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not (0 <= value < math.inf):
        raise ValueError(wrong(name, "seconds as a number that is not negative", value))
    return float(value)


def number_in(values: dict, name: str) -> int:
    """A whole number. ValueError if it is none, or negative."""
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(wrong(name, "a whole number that is not negative", value))
    return value


def wrong(name: str, what: str, value: object) -> str:
    """The message about a value, which may be missing (None)."""
    if isinstance(value, str):
        return expected(name, what, value)
    names = {type(None): "nothing", list: "a list", dict: "an object"}
    got = names[type(value)] if type(value) in names else str(value)[:MAX_VALUE_LENGTH]
    return f"{name}: expected {what}, got {got}"
