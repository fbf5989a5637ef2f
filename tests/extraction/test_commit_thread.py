"""Commits in threads: their records in order, no more of them at once than the store takes, and no error is lost."""

import threading
import time
from types import SimpleNamespace

import pytest

from embedonce.cache.errors import StorageError
from embedonce.cache.stores.local import LocalStore
from embedonce.pipeline.extraction import commit_thread
from embedonce.pipeline.extraction.commit_thread import Committer

AT_ONCE = 3
BATCH = SimpleNamespace(jpegs=(b"1", b"23"))


class Writer:
    """Takes a moment for each commit. full_for: the unit whose upload fails; at_once: commits that the store takes.

    most: commits that ran at the same time; done: those whose records are published.
    """

    def __init__(self, full_for: str | None = None, at_once: int = LocalStore.puts_at_once):
        self.store = SimpleNamespace(puts_at_once=at_once)
        self.full_for, self.done, self.running, self.most = full_for, [], 0, 0
        self._lock = threading.Lock()

    def commit_frames(self, unit, batch, provenance, before_record):
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self.upload(unit)
            before_record()
            self.done.append((unit, batch, provenance, threading.current_thread() is threading.main_thread()))
        finally:
            with self._lock:
                self.running -= 1

    def upload(self, unit):
        time.sleep(0.02)
        if unit == self.full_for:
            raise StorageError("full")


class Gated(Writer):
    """Uploads of a unit wait until it is let go."""

    def __init__(self, full_for: str | None = None):
        super().__init__(full_for, AT_ONCE)
        self.started = {str(n): threading.Event() for n in range(9)}
        self.let_go = {str(n): threading.Event() for n in range(9)}

    def upload(self, unit):
        self.started[unit].set()
        assert self.let_go[unit].wait(60)
        if unit == self.full_for:
            raise StorageError("full")


def units_of(writer: Writer) -> list[str]:
    return [unit for unit, *_ in writer.done]


def test_units_are_committed_in_order_one_at_a_time_and_completely():
    writer = Writer()
    with Committer(writer) as committer:
        for n in range(5):
            committer.submit(str(n), BATCH, {"n": n})
            assert len(writer.done) >= n  # the one before is on disk
    assert writer.done == [(str(n), BATCH, {"n": n}, False) for n in range(5)] and writer.most == 1
    assert committer.busy_sec > 0


def test_as_many_units_are_uploaded_at_once_as_the_store_takes():
    writer = Gated()
    with Committer(writer) as committer:
        for n in range(AT_ONCE):
            committer.submit(str(n), BATCH, {})
        assert all(writer.started[str(n)].wait(60) for n in range(AT_ONCE))  # none of them waits for another
        waiting = threading.Thread(target=committer.submit, args=(str(AT_ONCE), BATCH, {}))
        waiting.start()
        assert not writer.started[str(AT_ONCE)].wait(0.2) and waiting.is_alive()  # no more are held in memory
        for event in writer.let_go.values():
            event.set()
        waiting.join()
    assert units_of(writer) == [str(n) for n in range(AT_ONCE + 1)] and writer.most == AT_ONCE


@pytest.mark.parametrize(("max_bytes", "at_once"), [(0, 1), (5, 1), (6, 2), (8, 2), (9, 3)])
def test_units_of_many_bytes_are_uploaded_fewer_at_once(monkeypatch, max_bytes, at_once):
    monkeypatch.setattr(commit_thread, "MAX_BYTES", max_bytes)
    writer = Gated()
    for n in range(at_once, 9):
        writer.let_go[str(n)].set()
    with Committer(writer) as committer:
        for n in range(at_once):
            committer.submit(str(n), BATCH, {})
        assert all(writer.started[str(n)].wait(60) for n in range(at_once))
        waiting = threading.Thread(target=committer.submit, args=(str(at_once), BATCH, {}))
        waiting.start()
        assert not writer.started[str(at_once)].wait(0.2)
        for n in range(at_once):
            writer.let_go[str(n)].set()
        waiting.join()
    assert writer.most == at_once and len(writer.done) == at_once + 1


def test_records_are_published_in_order_whatever_upload_ends_first():
    writer = Gated()
    with Committer(writer) as committer:
        for n in range(AT_ONCE):
            committer.submit(str(n), BATCH, {})
        for n in reversed(range(1, AT_ONCE)):
            writer.let_go[str(n)].set()
        time.sleep(0.2)
        assert writer.done == []
        writer.let_go["0"].set()
    assert units_of(writer) == [str(n) for n in range(AT_ONCE)]


@pytest.mark.parametrize(("full_for", "submitted"), [("1", 2), ("4", 5)])
def test_an_error_is_raised_by_the_next_unit_or_at_the_end(full_for, submitted):
    writer, names = Writer(full_for), []
    with pytest.raises(StorageError, match="full"), Committer(writer) as committer:
        for n in range(5):
            committer.submit(str(n), BATCH, {})
            names.append(n)
    assert len(names) == submitted and [int(unit) for unit in units_of(writer)] == list(range(int(full_for)))


@pytest.mark.parametrize("full_for", ["0", "1", "5", "8"])
def test_nothing_after_a_failed_upload_is_committed_and_all_before_it_is(full_for):
    writer = Writer(full_for, AT_ONCE)
    with pytest.raises(StorageError, match="full"), Committer(writer) as committer:
        for n in range(9):
            committer.submit(str(n), BATCH, {})
    assert [int(unit) for unit in units_of(writer)] == list(range(int(full_for)))


def test_an_error_is_raised_by_the_next_unit_although_others_are_running():
    writer = Gated(full_for="0")
    with pytest.raises(StorageError, match="full"), Committer(writer) as committer:
        committer.submit("0", BATCH, {})
        committer.submit("1", BATCH, {})
        writer.let_go["0"].set()
        with pytest.raises(StorageError, match="full"):
            for n in range(2, 9):
                time.sleep(0.1)
                writer.let_go[str(n - 1)].set()
                committer.submit(str(n), BATCH, {})
        assert n == 2 and not writer.started["2"].is_set()
        writer.let_go["1"].set()
        raise StorageError("full")
    assert writer.done == []


@pytest.mark.parametrize("at_once", [1, AT_ONCE])
def test_commits_in_progress_are_finished_whatever_ends_the_run(at_once):
    writer = Writer(at_once=at_once)
    with pytest.raises(KeyboardInterrupt), Committer(writer) as committer:
        for n in range(at_once):
            committer.submit(str(n), BATCH, {})
        raise KeyboardInterrupt
    assert units_of(writer) == [str(n) for n in range(at_once)]
