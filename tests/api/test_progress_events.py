"""Progress as events: what a function is called with, and what happens without one."""

import logging

import pytest

from embedonce.pipeline.api.progress_events import ProgressEvent, reported_to
from embedonce.pipeline.progress import Progress


def count_to_two() -> None:
    with Progress(None, "scanning", "videos") as progress:
        progress.update()
        progress.note("quarantined: a.mp4")
        progress.extend(1)
        progress.update()


def test_a_function_is_called_at_each_step_and_nothing_is_printed(capfd):
    events: list[ProgressEvent] = []
    with reported_to(events.append):
        count_to_two()
    assert [(event.count, event.total, event.note) for event in events] == [
        (1, None, None),
        (1, None, "quarantined: a.mp4"),
        (1, 1, None),
        (2, 1, None),
    ]
    assert [str(event) for event in events[:3]] == ["scanning: 1 videos", "quarantined: a.mp4", "scanning: 1/1 videos"]
    assert capfd.readouterr() == ("", "")


def test_without_a_function_remarks_are_logged(caplog, capfd):
    with caplog.at_level(logging.INFO), reported_to(None):
        count_to_two()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", "quarantined: a.mp4")]
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_called_is_refused():
    with (
        pytest.raises(TypeError, match="on_progress must be a function that takes a ProgressEvent, got 3"),
        reported_to(3),
    ):
        pass
