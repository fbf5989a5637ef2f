"""One object of an annotation file, read with doubt: what is wrong is noted, and None stands in its place."""

from collections.abc import Iterator

from pipeline.ego4d.problems import Absent, Problems
from pipeline.uids import safe_annotation_uid

MAX_SECONDS = 1e9


class Record:
    """The fields of one entry. is_sound turns false with the first one that is wrong.

    where: `file: index`, for messages.
    """

    __slots__ = ("_value", "is_sound", "problems", "where")

    def __init__(self, value: object, where: str, problems: Problems):
        self.where, self.problems = where, problems
        self.is_sound = isinstance(value, dict)
        self._value: dict = value if isinstance(value, dict) else {}
        if not self.is_sound:
            problems.add(where, "entry", "an object", value)

    def get(self, name: str):
        """The bare value, or Absent."""
        return self._value.get(name, Absent)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._value.get(name) is not None

    def wrong(self, name: str, expected: str, **got) -> None:
        """Note that a field is not as expected. got: what is there instead, where the field's value does not say."""
        self.is_sound = False
        self.problems.add(self.where, name, expected, got.get("got", self.get(name)))

    def uid(self, name: str) -> str | None:
        value = self.get(name)
        if isinstance(value, str):
            try:
                return safe_annotation_uid(value)
            except ValueError:
                pass
        return self.wrong(name, "a uid of letters, digits, - and _")

    def text(self, name: str, what: str) -> str | None:
        """A printable text that is not empty, without spaces around it."""
        value = self.get(name)
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value.strip()
        return self.wrong(name, what)

    def sentence(self, name: str) -> str | None:
        """A text that is not empty, of any characters, without spaces around it."""
        value = self.get(name)
        return value.strip() if isinstance(value, str) and value.strip() else self.wrong(name, "a sentence")

    def one_of(self, name: str, choices: tuple, expected: str):
        value = self.get(name)
        if any(value is choice or (type(value) is type(choice) and value == choice) for choice in choices):
            return value
        return self.wrong(name, expected)

    def flag(self, name: str) -> bool | None:
        return self.one_of(name, (True, False), "true or false")

    def seconds(self, name: str) -> float | None:
        value = self.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MAX_SECONDS:  # nor NaN
            return float(value)
        return self.wrong(name, "seconds as a number")

    def span(self, start: str, end: str) -> tuple[float, float] | None:
        """The seconds of two fields, the second at least the first."""
        start_sec, end_sec = self.seconds(start), self.seconds(end)
        if start_sec is None or end_sec is None:
            return None
        if end_sec < start_sec:
            return self.wrong(end, f"at least {start} {start_sec:g}")
        return start_sec, end_sec

    def records(self, name: str) -> Iterator["Record"]:
        """The objects of a list."""
        values = self.get(name)
        if not isinstance(values, list):
            self.wrong(name, "a list")
            return
        prefix = self.where if self.where.endswith(": ") else f"{self.where}."
        for i, value in enumerate(values):
            record = Record(value, f"{prefix}{name}[{i}]", self.problems)
            if record.is_sound:
                yield record
