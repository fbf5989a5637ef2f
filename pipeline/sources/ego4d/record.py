"""One object of an annotation file, read with doubt: what is wrong is noted, and None stands in its place."""

import re
from collections.abc import Iterator

from embedonce.pipeline.naming.uids import safe_annotation_uid
from embedonce.pipeline.sources.ego4d.problems import Absent, Fields, Finding, Problems

MAX_SECONDS = 1e9
_INDEX = re.compile(r"\[\d+\]")


class Record:
    """The fields of one entry. is_sound turns false with the first one that is wrong.

    where: `file: index`, for messages. fields: those of all entries of the list that it is of; None: by `where`.
    """

    __slots__ = ("_value", "fields", "is_sound", "problems", "where")

    def __init__(self, value: object, where: str, problems: Problems, fields: Fields | None = None):
        self.where, self.problems = where, problems
        self.fields = problems.fields(_INDEX.sub("[]", where)) if fields is None else fields
        self.fields.entries += 1
        self.is_sound = isinstance(value, dict)
        self._value: dict = value if isinstance(value, dict) else {}
        if self.is_sound:
            self.fields.right.add("entry")
        elif value is None:
            self.odd("entries are null and were left out", "entry", "an object", got=value)
        else:
            self.wrong("entry", "an object", got=value)

    def get(self, name: str):
        """The bare value, or Absent."""
        return self._value.get(name, Absent)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null. Fields that this is asked of may be absent."""
        if self._value.get(name) is not None:
            return True
        self.fields.right.add(name)
        return False

    def wrong(self, name: str, expected: str, **got) -> None:
        """Note that a field is not of the form expected: the file is wrong where none of its entries has the form.

        got: what is there instead, where the field's value does not say.
        """
        value = got.get("got", self.get(name))
        if value is None and name != "entry":
            return self.odd(f"entries whose `{name}` is null were left out", name, expected)
        self.is_sound = False
        key = (name, expected)
        if key not in self.fields.wrong:
            self.fields.wrong[key] = Finding()
        self.fields.wrong[key].add(self.where, name, expected, value)
        return None

    def odd(self, reason: str, name: str, expected: str, **got) -> None:
        """Note that this one entry is odd and not to be taken. reason: of the note, as it follows a number."""
        self.is_sound = False
        self.tell(reason, name, expected, **got)

    def tell(self, reason: str, name: str, expected: str, **got) -> None:
        """Note something odd that does not spoil the entry."""
        self.problems.add_odd(reason, self.where, name, expected, got.get("got", self.get(name)))

    def uid(self, name: str) -> str | None:
        value = self.get(name)
        if isinstance(value, str):
            try:
                uid = safe_annotation_uid(value)
            except ValueError:
                pass
            else:
                self.fields.right.add(name)
                return uid
        return self.wrong(name, "a uid of letters, digits, - and _")

    def text(self, name: str, what: str) -> str | None:
        """A printable text that is not empty, without spaces around it."""
        value = self.get(name)
        if not isinstance(value, str):
            return self.wrong(name, what)
        self.fields.right.add(name)
        if value.strip() and value.isprintable():
            return value.strip()
        return self.odd(f"entries whose `{name}` is empty or unprintable were left out", name, what)

    def sentence(self, name: str) -> str | None:
        """A text that is not empty, of any characters, without spaces around it."""
        value = self.get(name)
        if not isinstance(value, str):
            return self.wrong(name, "a sentence")
        self.fields.right.add(name)
        if value.strip():
            return value.strip()
        return self.odd(f"entries whose `{name}` is empty were left out", name, "a sentence")

    def one_of(self, name: str, choices: tuple, expected: str):
        value = self.get(name)
        if any(value is choice or (type(value) is type(choice) and value == choice) for choice in choices):
            self.fields.right.add(name)
            return value
        return self.wrong(name, expected)

    def flag(self, name: str) -> bool | None:
        return self.one_of(name, (True, False), "true or false")

    def seconds(self, name: str) -> float | None:
        value = self.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MAX_SECONDS:  # nor NaN
            self.fields.right.add(name)
            return float(value)
        return self.wrong(name, "seconds as a number")

    def span(self, start: str, end: str) -> tuple[float, float] | None:
        """The seconds of two fields, the second at least the first."""
        start_sec, end_sec = self.seconds(start), self.seconds(end)
        if start_sec is None or end_sec is None:
            return None
        if end_sec < start_sec:
            return self.odd("entries end before they start and were left out", end, f"at least {start} {start_sec:g}")
        return start_sec, end_sec

    def records(self, name: str) -> Iterator["Record"]:
        """The objects of a list."""
        values = self.get(name)
        if not isinstance(values, list):
            self.wrong(name, "a list")
            return
        self.fields.right.add(name)
        fields = self.fields.inner(f"{name}[]")
        prefix = self.where if self.where.endswith(": ") else f"{self.where}."
        for i, value in enumerate(values):
            record = Record(value, f"{prefix}{name}[{i}]", self.problems, fields)
            if record.is_sound:
                yield record
