"""Problems in annotation files, collected so that a user sees all of them at once.

A file in which most entries have the same invalid field is a wrong file: an error. A single invalid entry is dropped
or clamped and becomes a note with a count and an example, or an error under --strict.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.parsing.notes import UNREADABLE_VALUE, Note, Reason

MAX_PROBLEMS_SHOWN = 20
MAX_VALUE_LENGTH = 120


class Absent:
    """The value of a field that an entry does not have."""


@dataclass
class Occurrences:
    """How often one problem occurred. lines: messages about the first MAX_PROBLEMS_SHOWN; example: the first one."""

    count: int = 0
    lines: list[str] = field(default_factory=list)
    example: str = ""

    def add(self, place: str, name: str, expected: str, value: object) -> None:
        if not self.count:
            self.example = f"{place}: {_got(value)}"
        self.count += 1
        if len(self.lines) < MAX_PROBLEMS_SHOWN:
            self.lines.append(_message(place, name, expected, value))


class FieldStats:
    """Which fields of the entries of one list were valid at least once, and which were invalid.

    place: the file and the list, such as `moments_val.json: videos[].clips[]`. num_entries: entries read so far.
    """

    __slots__ = ("_nested", "invalid", "num_entries", "place", "valid")

    def __init__(self, place: str):
        self.place, self.num_entries = place, 0
        self.valid: set[str] = set()
        self.invalid: dict[tuple[str, str], Occurrences] = {}  # (field, expected value)
        self._nested: dict[str, FieldStats] = {}

    def nested(self, name: str) -> "FieldStats":
        """The statistics of the list or the object that a field of these entries holds."""
        if name not in self._nested:
            dot = "" if self.place.endswith(": ") else "."
            self._nested[name] = FieldStats(f"{self.place}{dot}{name}")
        return self._nested[name]

    def all(self) -> Iterator["FieldStats"]:
        """These statistics, then all nested ones."""
        yield self
        for nested in self._nested.values():
            yield from nested.all()


@dataclass
class Problems:
    """Problems of some files. is_strict: single invalid entries are errors too."""

    is_strict: bool = False
    wrong_files: list[str] = field(default_factory=list)
    entries: dict[tuple[Reason, str], Occurrences] = field(default_factory=dict)  # (reason, detail)
    _fields: dict[str, FieldStats] = field(default_factory=dict)

    def fields(self, place: str) -> FieldStats:
        """The statistics of the entries of one list."""
        return self._fields.setdefault(place, FieldStats(place))

    def add_file(self, name: str, expected: str, value: object) -> None:
        """Report a file whose content is not what its name promises."""
        self.wrong_files.append(_message(name, "content", expected, value))

    def add_entry(self, reason: Reason, detail: str, place: str, name: str, expected: str, value: object) -> None:
        """Report a single entry. detail: refines the reason in the note, such as the field's name; may be empty."""
        key = (reason, detail)
        if key not in self.entries:
            self.entries[key] = Occurrences()
        self.entries[key].add(place, name, expected, value)

    def check_files(self, folder: Path) -> None:
        """Raise InputError if a whole file is wrong."""
        if self.wrong_files:
            check([self], folder)

    def check(self, folder: Path) -> None:
        """Raise InputError with the first errors and the count of all, if there are any."""
        check([self], folder)

    def errors(self) -> dict[object, Occurrences]:
        """Fields that are valid nowhere in a file and invalid in most entries; all problems if is_strict."""
        errors: dict[object, Occurrences] = {}
        for fields, key, occurrences in self._invalid():
            is_wrong_throughout = key[0] not in fields.valid and 2 * occurrences.count > fields.num_entries
            if self.is_strict or is_wrong_throughout:
                errors[fields.place, key] = occurrences
        if self.is_strict:
            errors |= dict(self.entries.items())
        return errors

    def notes(self, source: str) -> list[Note]:
        """One note for each reason and detail. source: the kind of annotations, or the file."""
        merged: dict[str, Occurrences] = {}
        for _, (name, expected), occurrences in self._invalid():
            detail = f"{name} is not {expected}"
            total = merged.setdefault(detail, Occurrences(example=occurrences.example))
            total.count += occurrences.count
        counted = {(UNREADABLE_VALUE, detail): occurrences for detail, occurrences in merged.items()} | self.entries
        return [Note(reason, source, one.count, detail, one.example) for (reason, detail), one in counted.items()]

    def _invalid(self) -> Iterator[tuple[FieldStats, tuple[str, str], Occurrences]]:
        for root in self._fields.values():
            for fields in root.all():
                for key, occurrences in fields.invalid.items():
                    yield fields, key, occurrences


def check(all_problems: Iterable[Problems], folder: Path) -> None:
    """Raise InputError with the first errors and the count of all, if any of these problems are errors.

    An error that several readers of one file report is counted once.
    """
    all_problems = list(all_problems)
    files = list(dict.fromkeys(line for problems in all_problems for line in problems.wrong_files))
    errors: dict[object, Occurrences] = {}
    for problems in all_problems:
        for key, occurrences in problems.errors().items():
            key_in_file = (key, occurrences.example.partition(":")[0])
            if key_in_file not in errors or errors[key_in_file].count < occurrences.count:
                errors[key_in_file] = occurrences
    count = len(files) + sum(occurrences.count for occurrences in errors.values())
    if not count:
        return
    lines = [*files, *(line for occurrences in errors.values() for line in occurrences.lines)]
    first = f", first {len(lines[:MAX_PROBLEMS_SHOWN])} shown" if count > MAX_PROBLEMS_SHOWN else ""
    is_strict = any(problems.is_strict for problems in all_problems) and not files
    remedy = "fix the files, or omit --strict" if is_strict else "fix the files, or download them again"
    sentence = f"{count} problem{'s' * (count > 1)} in the annotations under {folder}{first} ({remedy}):"
    raise InputError(sentence).with_details(f"  {line}" for line in lines[:MAX_PROBLEMS_SHOWN])


def _message(place: str, name: str, expected: str, value: object) -> str:
    return f"{place}: {name}: expected {expected}, {_got(value)}"


def _got(value: object) -> str:
    shown = "nothing" if value is Absent else repr(value)
    return f"got {shown if len(shown) <= MAX_VALUE_LENGTH else shown[: MAX_VALUE_LENGTH - 3] + '...'}"
