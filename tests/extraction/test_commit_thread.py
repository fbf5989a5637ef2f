"""Commits in a thread: in order, one at a time, and without losing errors."""

import threading
import time

import pytest

from embedonce.cache.errors import StorageError
from embedonce.pipeline.extraction.commit_thread import Committer


class Writer:
    """Takes a moment for each commit. full_for: the unit whose commit fails."""

    def __init__(self, full_for: str | None = None):
        self.full_for, self.done, self.running, self.most = full_for, [], 0, 0

    def commit_frames(self, unit, batch, provenance):
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(0.02)
        self.running -= 1
        if unit == self.full_for:
            raise StorageError("full")
        self.done.append((unit, batch, provenance, threading.current_thread() is threading.main_thread()))


def test_units_are_committed_in_order_one_at_a_time_and_completely():
    writer = Writer()
    with Committer(writer) as committer:
        for n in range(5):
            committer.submit(str(n), n, {"n": n})
            assert len(writer.done) >= n  # the one before is on disk
    assert writer.done == [(str(n), n, {"n": n}, False) for n in range(5)] and writer.most == 1
    assert committer.busy_sec > 0


@pytest.mark.parametrize(("full_for", "submitted"), [("1", 2), ("4", 5)])
def test_an_error_is_raised_by_the_next_unit_or_at_the_end(full_for, submitted):
    writer, names = Writer(full_for), []
    with pytest.raises(StorageError, match="full"), Committer(writer) as committer:
        for n in range(5):
            committer.submit(str(n), n, {})
            names.append(n)
    assert len(names) == submitted and [int(unit) for unit, *_ in writer.done] == list(range(int(full_for)))


def test_a_commit_in_progress_is_finished_whatever_ends_the_run():
    writer = Writer()
    with pytest.raises(KeyboardInterrupt), Committer(writer) as committer:
        committer.submit("0", 0, {})
        raise KeyboardInterrupt
    assert [unit for unit, *_ in writer.done] == ["0"]
