"""One JSON object of an annotation file, with validating accessors.

An accessor returns None for an invalid value and reports it to `Problems`, so that reading goes on with the next entry.
"""

import re
from collections.abc import Iterator

from embedonce.pipeline.naming.uids import safe_annotation_uid
from embedonce.pipeline.sources.ego4d.parsing.notes import (
    EMPTY_TEXT,
    NULL_ENTRY,
    NULL_VALUE,
    REVERSED_TIMES,
    Reason,
)
from embedonce.pipeline.sources.ego4d.parsing.problems import Absent, FieldStats, Occurrences, Problems

MAX_SECONDS = 1e9
_INDEX = re.compile(r"\[\d+\]")
_FROM_FIELD = object()  # report the value of the field itself


class Record:
    """The fields of one entry. is_valid becomes False with the first invalid one.

    place: file and index, such as `moments_val.json: videos[3]`, for messages. fields: statistics of all entries of the
    list; by default those of `place` without its numbers.
    """

    __slots__ = ("_value", "fields", "is_valid", "place", "problems")

    def __init__(self, value: object, place: str, problems: Problems, fields: FieldStats | None = None):
        self.place, self.problems = place, problems
        self.fields = problems.fields(_INDEX.sub("[]", place)) if fields is None else fields
        self.fields.num_entries += 1
        self.is_valid = isinstance(value, dict)
        self._value: dict = value if isinstance(value, dict) else {}
        if self.is_valid:
            self.fields.valid.add("entry")
        elif value is None:
            self.drop(NULL_ENTRY, "entry", "an object", value=value)
        else:
            self._add_invalid("entry", "an object", value)

    def get(self, name: str):
        """The unchecked value of a field, or Absent."""
        return self._value.get(name, Absent)

    def has(self, name: str) -> bool:
        """Whether an optional field is present and not null."""
        if self._value.get(name) is not None:
            return True
        self.fields.valid.add(name)
        return False

    def invalid(self, name: str, expected: str) -> None:
        """Report a field of the wrong type or form. If no entry of the file has a valid one, the file is wrong."""
        value = self.get(name)
        if value is None:
            self.drop(NULL_VALUE, name, expected, detail=name)
        else:
            self._add_invalid(name, expected, value)

    def _add_invalid(self, name: str, expected: str, value: object) -> None:
        self.is_valid = False
        key = (name, expected)
        if key not in self.fields.invalid:
            self.fields.invalid[key] = Occurrences()
        self.fields.invalid[key].add(self.place, name, expected, value)

    def drop(self, reason: Reason, name: str, expected: str, detail: str = "", value: object = _FROM_FIELD) -> None:
        """Report that this entry is not used. value: what to quote instead of the field's value."""
        self.is_valid = False
        self.note(reason, name, expected, detail, value)

    def note(self, reason: Reason, name: str, expected: str, detail: str = "", value: object = _FROM_FIELD) -> None:
        """Report a problem of this entry, which is used all the same."""
        quoted = self.get(name) if value is _FROM_FIELD else value
        self.problems.add_entry(reason, detail, self.place, name, expected, quoted)

    def uid(self, name: str) -> str | None:
        """A uid of letters, digits, - and _."""
        value = self.get(name)
        if isinstance(value, str):
            try:
                uid = safe_annotation_uid(value)
            except ValueError:
                pass
            else:
                self.fields.valid.add(name)
                return uid
        self.invalid(name, "a uid of letters, digits, - and _")
        return None

    def text(self, name: str, expected: str) -> str | None:
        """A printable text, without surrounding spaces, that is not empty."""
        return self._text(name, expected, is_printable=True)

    def sentence(self, name: str) -> str | None:
        """A text of any characters, without surrounding spaces, that is not empty."""
        return self._text(name, "a sentence", is_printable=False)

    def _text(self, name: str, expected: str, is_printable: bool) -> str | None:
        value = self.get(name)
        if not isinstance(value, str):
            self.invalid(name, expected)
            return None
        self.fields.valid.add(name)
        if value.strip() and (not is_printable or value.isprintable()):
            return value.strip()
        self.drop(EMPTY_TEXT, name, expected, detail=name)
        return None

    def one_of(self, name: str, choices: tuple, expected: str):
        """One of the choices, compared by type and value."""
        value = self.get(name)
        if any(value is choice or (type(value) is type(choice) and value == choice) for choice in choices):
            self.fields.valid.add(name)
            return value
        self.invalid(name, expected)
        return None

    def flag(self, name: str) -> bool | None:
        """True or false."""
        return self.one_of(name, (True, False), "true or false")

    def seconds(self, name: str) -> float | None:
        """A finite number of seconds."""
        value = self.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MAX_SECONDS:  # nor NaN
            self.fields.valid.add(name)
            return float(value)
        self.invalid(name, "seconds as a number")
        return None

    def span(self, start: str, end: str) -> tuple[float, float] | None:
        """(start_sec, end_sec) from two fields; the end is at least the start."""
        start_sec, end_sec = self.seconds(start), self.seconds(end)
        if start_sec is None or end_sec is None:
            return None
        if end_sec < start_sec:
            self.drop(REVERSED_TIMES, end, f"at least {start} {start_sec:g}")
            return None
        return start_sec, end_sec

    def records(self, name: str) -> Iterator["Record"]:
        """The valid objects of a list."""
        values = self.get(name)
        if not isinstance(values, list):
            self.invalid(name, "a list")
            return
        self.fields.valid.add(name)
        fields = self.fields.nested(f"{name}[]")
        prefix = self.place if self.place.endswith(": ") else f"{self.place}."
        for i, value in enumerate(values):
            record = Record(value, f"{prefix}{name}[{i}]", self.problems, fields)
            if record.is_valid:
                yield record
