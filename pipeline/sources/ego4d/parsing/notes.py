"""Notes about annotations: why entries were dropped or changed, how often, and one example of each.

A note is data until it is printed. Notes with the same reason are merged into one line, whichever kinds of annotations
they come from.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why entries were dropped or changed. code: a stable name; title: the beginning of the printed note."""

    code: str
    title: str


@dataclass(frozen=True)
class Note:
    """How often one reason applied.

    source: the kind of annotations, or the file, that it is about; may be empty. detail: which entries, such as a name
    of a field. example: the place of the first entry and its value; empty if the note is a plain count.
    """

    reason: Reason
    source: str
    count: int
    detail: str = ""
    example: str = ""


UNREADABLE_VALUE = Reason("unreadable-value", "invalid values, entries dropped")
NULL_ENTRY = Reason("null-entry", "null entries, dropped")
NULL_VALUE = Reason("null-value", "null values, entries dropped")
EMPTY_TEXT = Reason("empty-text", "empty or unprintable text, entries dropped")
REVERSED_TIMES = Reason("reversed-times", "entries that end before they start, dropped")
DUPLICATE = Reason("duplicate", "duplicates, only the first is used")
UNKNOWN_VIDEO = Reason("unknown-video", "entries about videos that ego4d.json does not list, dropped")
WRONG_CLIP = Reason("wrong-clip", "entries that name a clip of another video, dropped")
OUTSIDE_VIDEO = Reason("outside-video", "entries outside their video, dropped")
CLAMPED = Reason("clamped", "entries that extend beyond their video, clamped")
ZERO_LENGTH = Reason("zero-length", "zero-length labels, dropped")
UNKNOWN_LABEL = Reason("unknown-label", "labels that are not in the taxonomy, clips kept unlabeled")
NO_CLASS = Reason("no-class", "actions without a class, kept unlabeled")


def format_notes(notes: Iterable[Note]) -> list[str]:
    """One line for each reason, in the order of the first note of each.

    `title: detail: source count, source count; other detail: source count (e.g. the first example)`
    """
    by_reason: dict[Reason, list[Note]] = {}
    for note in dict.fromkeys(notes):
        by_reason.setdefault(note.reason, []).append(note)
    return [_line(reason, merged) for reason, merged in by_reason.items()]


def _line(reason: Reason, notes: list[Note]) -> str:
    by_detail: dict[str, list[str]] = {}
    for note in notes:
        by_detail.setdefault(note.detail, []).append(f"{note.source} {note.count}".strip())
    parts = [": ".join(filter(None, (detail, ", ".join(counts)))) for detail, counts in by_detail.items()]
    example = next((f" (e.g. {note.example})" for note in notes if note.example), "")
    return f"{reason.title}: {'; '.join(parts)}{example}"
