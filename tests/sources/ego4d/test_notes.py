"""Notes about annotations: merged into one line per reason, with counts per kind and the first example."""

import re
from pathlib import Path

from embedonce.pipeline.sources.ego4d import metadata
from embedonce.pipeline.sources.ego4d.parsing import notes
from embedonce.pipeline.sources.ego4d.parsing.notes import CLAMPED, DUPLICATE, ZERO_LENGTH, Note, Reason, format_notes
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from embedonce.pipeline.sources.ego4d.parsing.record import Record

DOCUMENT = Path(__file__).parents[3] / "docs" / "ego4d.md"


def test_notes_of_one_reason_are_one_line_with_the_first_example():
    lines = format_notes(
        [
            Note(CLAMPED, "moments", 3, example="a.json: x[0]: got 1"),
            Note(ZERO_LENGTH, "moments", 1),
            Note(CLAMPED, "fho-verbs", 1, example="b.json: y[0]: got 2"),
        ]
    )
    assert lines == [
        "entries that extend beyond their video, clamped: moments 3, fho-verbs 1 (e.g. a.json: x[0]: got 1)",
        "zero-length labels, dropped: moments 1",
    ]


def test_details_of_one_reason_are_listed_one_after_another():
    lines = format_notes(
        [
            Note(DUPLICATE, "moments", 1, "clips"),
            Note(DUPLICATE, "moments", 2, "videos", "m.json: videos[1]: got 'u'"),
            Note(DUPLICATE, "oscc", 4, "clips"),
            Note(DUPLICATE, "", 5),
        ]
    )
    assert lines == [
        "duplicates, only the first is used: clips: moments 1, oscc 4; videos: moments 2; 5 "
        "(e.g. m.json: videos[1]: got 'u')"
    ]


def test_an_equal_note_is_counted_once():
    assert format_notes([Note(CLAMPED, "x", 1)] * 2) == ["entries that extend beyond their video, clamped: x 1"]
    assert format_notes([]) == []


def test_invalid_values_of_one_field_are_one_note_whatever_file_they_are_in():
    problems = Problems()
    for place, value in (("a.json: v[0]", "1"), ("a.json: v[1]", 2.0), ("b.json: v[0]", [])):
        Record({"sec": value}, place, problems).seconds("sec")
    (note,) = problems.notes("moments")
    assert (note.count, note.detail) == (2, "sec is not seconds as a number")
    assert note.example == "a.json: v[0]: got '1'"


def test_the_notes_quoted_in_the_documentation_are_printed_by_the_code():
    quoted = re.findall(r"^note: ([^:]+): ", DOCUMENT.read_text(), re.MULTILINE)
    reasons = [one for module in (notes, metadata) for one in vars(module).values() if isinstance(one, Reason)]
    assert len(quoted) == 2 and set(quoted) <= {reason.title for reason in reasons}
