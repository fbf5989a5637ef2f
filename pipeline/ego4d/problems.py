"""What is wrong with annotation files, collected so that a user sees all of it at once. Knows no file and no schema."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import InputError

SHOWN = 20
GOT_LENGTH = 120


class Absent:
    """Stands for a field that is not there."""


@dataclass
class Problems:
    """Problems of many files; the first SHOWN are kept in words, all are counted.

    skip_invalid: entries that are wrong are left out and counted, and only a file that is wrong altogether is an error.
    """

    skip_invalid: bool = False
    count: int = 0
    lines: list[str] = field(default_factory=list)
    wrong_files: list[str] = field(default_factory=list)

    def add(self, where: str, name: str, expected: str, got: object) -> None:
        """where: `file: index`; got: the value found, or the class `Absent`."""
        self.count += 1
        if len(self.lines) < SHOWN:
            self.lines.append(_in_words(where, name, expected, got))

    def add_file(self, where: str, expected: str, got: object) -> None:
        """A file that is not what its name says: an error whatever is skipped."""
        self.count += 1
        self.wrong_files.append(_in_words(where, "content", expected, got))

    def check_files(self, folder: Path) -> None:
        """InputError where a file is wrong altogether."""
        if self.wrong_files:
            self.check(folder)

    def check(self, folder: Path) -> None:
        """InputError with the first problems and the count of all, where there are any that are not to be skipped."""
        lines = self.wrong_files + ([] if self.skip_invalid else self.lines)
        if not lines:
            return
        count = len(self.wrong_files) if self.skip_invalid else self.count
        some = f", the first {len(lines[:SHOWN])} of them" if count > SHOWN else ""
        remedy = "download them again" if self.wrong_files else "mend the files, or leave these out with --skip-invalid"
        sentence = f"{count} problem{'s' * (count > 1)} in the annotations under {folder}{some} ({remedy}):"
        raise InputError(sentence).with_details(f"  {line}" for line in lines[:SHOWN])

    def notes(self) -> list[str]:
        """What to tell of what was skipped."""
        if not self.count:
            return []
        entries = "1 invalid entry was" if self.count == 1 else f"{self.count} invalid entries were"
        return [f"{entries} left out of the annotations, such as {self.lines[0]}"]


def _in_words(where: str, name: str, expected: str, got: object) -> str:
    shown = "nothing" if got is Absent else repr(got)
    shown = shown if len(shown) <= GOT_LENGTH else shown[: GOT_LENGTH - 3] + "..."
    return f"{where}: {name}: expected {expected}, got {shown}"
