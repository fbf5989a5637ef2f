"""What is wrong with annotation files, collected so that a user sees all of it at once. Knows no file and no schema.

A file whose entries are all of another form is a wrong file: an error. A single odd entry is left out or clamped: a
counted note with an example, or an error where a user asks for strictness.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from embedonce.pipeline.errors import InputError

SHOWN = 20
GOT_LENGTH = 120


class Absent:
    """Stands for a field that is not there."""


@dataclass
class Finding:
    """One reason why entries were not taken as they are: how often, and the first SHOWN of them in words."""

    count: int = 0
    lines: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)  # the first one, as a note has it

    def add(self, where: str, name: str, expected: str, got: object) -> None:
        self.count += 1
        if len(self.lines) < SHOWN:
            self.lines.append(_in_words(where, name, expected, got))
        if not self.examples:
            self.examples.append(f"{where}: {_shown(got)}")


class Fields:
    """The fields of the entries of one list of a file: which were of the right form somewhere, and which were not.

    place: the file and the list, as in `moments_val.json: videos[].clips[]`. entries: how many were read.
    """

    __slots__ = ("_inner", "entries", "place", "right", "wrong")

    def __init__(self, place: str):
        self.place, self.entries = place, 0
        self.right: set[str] = set()
        self.wrong: dict[tuple[str, str], Finding] = {}  # (field, what was expected)
        self._inner: dict[str, Fields] = {}

    def inner(self, name: str) -> "Fields":
        """Those of the list, or the object, that a field of these entries is."""
        if name not in self._inner:
            dot = "" if self.place.endswith(": ") else "."
            self._inner[name] = Fields(f"{self.place}{dot}{name}")
        return self._inner[name]

    def all(self) -> Iterable["Fields"]:
        """These and all within."""
        yield self
        for inner in self._inner.values():
            yield from inner.all()


@dataclass
class Problems:
    """Problems of some files. is_strict: single odd entries are errors, too."""

    is_strict: bool = False
    wrong_files: list[str] = field(default_factory=list)
    odd: dict[str, Finding] = field(default_factory=dict)  # reason, as a note has it -> what has it
    _fields: dict[str, Fields] = field(default_factory=dict)

    def fields(self, place: str) -> Fields:
        """The fields of the entries at a place."""
        return self._fields.setdefault(place, Fields(place))

    def add_file(self, where: str, expected: str, got: object) -> None:
        """A file that is not what its name says."""
        self.wrong_files.append(_in_words(where, "content", expected, got))

    def add_odd(self, reason: str, where: str, name: str, expected: str, got: object) -> None:
        """A single odd entry. reason: what is odd and what became of it, as it follows a number of entries."""
        if reason not in self.odd:
            self.odd[reason] = Finding()
        self.odd[reason].add(where, name, expected, got)

    def check_files(self, folder: Path) -> None:
        """InputError where a file is wrong altogether."""
        if self.wrong_files:
            check([self], folder)

    def check(self, folder: Path) -> None:
        """InputError with the first problems and the count of all, where there are any that are errors."""
        check([self], folder)

    def errors(self) -> dict[object, Finding]:
        """By what they are of: fields of the right form nowhere in a file, of most entries; with is_strict, all odd."""
        found: dict[object, Finding] = {}
        for fields, key, finding in self._wrong():
            is_wrong_throughout = key[0] not in fields.right and 2 * finding.count > fields.entries
            if self.is_strict or is_wrong_throughout:
                found[fields.place, key] = finding
        return found | (self.odd if self.is_strict else {})

    def notes(self) -> list[str]:
        """What to tell of entries that were left out or clamped: a line for each reason."""
        single: dict[str, Finding] = {}
        for _, (name, expected), finding in self._wrong():
            whose = "entries are" if name == "entry" else f"entries whose `{name}` is"
            reason = f"{whose} not {expected}{' and' * (name == 'entry')} were left out"
            whole = single.setdefault(reason, Finding(examples=finding.examples))
            whole.count += finding.count
        told = single | self.odd
        return [f"{finding.count} {reason}, such as {finding.examples[0]}" for reason, finding in told.items()]

    def _wrong(self) -> Iterable[tuple[Fields, tuple[str, str], Finding]]:
        for place in self._fields.values():
            for fields in place.all():
                for key, finding in fields.wrong.items():
                    yield fields, key, finding


def check(problems: list[Problems], folder: Path) -> None:
    """InputError with the first problems and the count of all, where any of these has errors.

    What several readers of one file find is told once.
    """
    files = list(dict.fromkeys(line for one in problems for line in one.wrong_files))
    found: dict[object, Finding] = {}
    for one in problems:
        for key, finding in one.errors().items():
            if key not in found or found[key].count < finding.count:
                found[key] = finding
    count = len(files) + sum(finding.count for finding in found.values())
    if not count:
        return
    lines = [*files, *(line for finding in found.values() for line in finding.lines)]
    some = f", the first {len(lines[:SHOWN])} of them" if count > SHOWN else ""
    is_strict = any(one.is_strict for one in problems) and not files
    remedy = "mend the files, or leave out --strict" if is_strict else "mend the files, or download them again"
    sentence = f"{count} problem{'s' * (count > 1)} in the annotations under {folder}{some} ({remedy}):"
    raise InputError(sentence).with_details(f"  {line}" for line in lines[:SHOWN])


def _in_words(where: str, name: str, expected: str, got: object) -> str:
    return f"{where}: {name}: expected {expected}, {_shown(got)}"


def _shown(got: object) -> str:
    shown = "nothing" if got is Absent else repr(got)
    return f"got {shown if len(shown) <= GOT_LENGTH else shown[: GOT_LENGTH - 3] + '...'}"
