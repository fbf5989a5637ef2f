"""Tests that every engine should pass.

Subclass EngineConformance and set make_engine: (function, EngineOptions) -> Engine. An engine that runs tasks in worker
processes subclasses IsolatingEngineConformance, which also tests crashes and timeouts.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from embedonce.pipeline.engines.engine import (
    MAX_ATTEMPTS,
    EngineOptions,
    TaskDone,
    TaskFailed,
    TaskResult,
    WorkerCrashed,
)
from tests.support.conformance.engine_tasks import run_named_task

MAX_WAIT_SEC = 100.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MAX_WAIT_SEC
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_no_longer_written(log: Path) -> None:
    size = log.stat().st_size
    time.sleep(0.3)
    assert log.stat().st_size == size


class EngineConformance:
    """Order, outcomes, failures, stopping and interrupts."""

    make_engine: Callable

    def run(self, tasks, workers=2, timeout_sec=30.0, **options):
        """The iterator of an engine's events."""
        return type(self).make_engine(run_named_task, EngineOptions(workers, timeout_sec, **options)).run(tasks)

    def outcomes(self, tasks, **options) -> dict:
        """task -> (values, the event that ended it). No event follows that one."""
        values, ends = {task: [] for task in tasks}, {}
        for event in self.run(tasks, **options):
            assert event.task in values and event.task not in ends
            if isinstance(event, TaskResult):
                values[event.task].append(event.value)
            elif isinstance(event, TaskDone | TaskFailed):
                ends[event.task] = event
            else:
                assert isinstance(event, WorkerCrashed)
        assert set(ends) == set(tasks)
        return {task: (values[task], ends[task]) for task in tasks}

    def test_each_task_ends_once_and_its_values_keep_their_order(self):
        tasks = [("count_to", number) for number in (0, 5, 40, 3)]
        assert self.outcomes(tasks) == {task: (list(range(task[1])), TaskDone(task)) for task in tasks}

    def test_no_tasks_give_no_events(self):
        assert list(self.run([])) == []

    def test_a_failing_task_keeps_its_values_and_affects_no_other_task(self):
        tasks = [("count_to", 3), ("fail", "bad header"), ("count_to", 4)]
        outcomes = self.outcomes(tasks, workers=1)
        assert outcomes[tasks[1]] == ([1], TaskFailed(tasks[1], "bad header"))
        assert outcomes[tasks[0]] == ([0, 1, 2], TaskDone(tasks[0]))
        assert outcomes[tasks[2]] == ([0, 1, 2, 3], TaskDone(tasks[2]))

    def test_a_temporary_failure_is_marked_as_temporary(self):
        task = ("fail_for_now", "not now")
        assert self.outcomes([task]) == {task: ([1], TaskFailed(task, "not now", is_temporary=True))}

    def test_closing_the_iterator_stops_all_work(self, tmp_path):
        log = tmp_path / "log"
        events = self.run([("write_forever", str(log)), ("count_to", 10**6)])
        assert isinstance(next(events), TaskResult)
        wait_until(log.exists)
        events.close()
        assert_no_longer_written(log)

    def test_an_interrupt_reaches_the_caller_and_stops_all_work(self, tmp_path):
        log, main_thread = tmp_path / "log", threading.main_thread().ident

        def interrupt():
            wait_until(log.exists)
            signal.pthread_kill(main_thread, signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt), contextlib.closing(self.run([("write_forever", str(log))])) as events:
            for _ in events:
                pass
        assert_no_longer_written(log)


class IsolatingEngineConformance(EngineConformance):
    """Crashes and timeouts of worker processes."""

    def check_only_this_task_fails(self, task, timeout_sec: float) -> None:
        before, after = ("count_to", 3), ("count_to", 4)
        outcomes = self.outcomes([before, task, after], timeout_sec=timeout_sec)
        for other in (before, after):
            assert outcomes[other] == (list(range(other[1])), TaskDone(other))
        values, end = outcomes[task]
        assert values == [1] and isinstance(end, TaskFailed) and end.reason and not end.is_temporary

    def test_a_crash_affects_no_other_task(self, tmp_path):
        self.check_only_this_task_fails(("crash", str(tmp_path / "log")), timeout_sec=30.0)
        assert len((tmp_path / "log").read_bytes()) == MAX_ATTEMPTS

    def test_a_hang_affects_no_other_task(self):
        self.check_only_this_task_fails(("hang", 0), timeout_sec=3.0)

    def test_a_retry_delivers_each_value_once(self, tmp_path):
        """Heartbeats do not count as values: the retry may send a different number of them."""
        task = ("crash_once", str(tmp_path / "log"))
        values, end = self.outcomes([task])[task]
        assert [value for value in values if value] == ["first", "second", "third"] and end == TaskDone(task)

    def test_attempts_of_earlier_runs_count(self, tmp_path):
        used_up = ("count_to", 3)
        values, end = self.outcomes([used_up], attempts_used=lambda task: MAX_ATTEMPTS)[used_up]
        assert values == [] and isinstance(end, TaskFailed)
        task = ("crash", str(tmp_path / "log"))
        *_, last_crash, end = self.run([task], attempts_used=lambda task: MAX_ATTEMPTS - 1)
        assert isinstance(last_crash, WorkerCrashed) and isinstance(end, TaskFailed)
        assert len((tmp_path / "log").read_bytes()) == 1

    def test_a_task_is_not_retried_before_its_crash_is_counted(self, tmp_path):
        """A run that stops while it records one attempt has not used another one."""
        log, used = tmp_path / "log", []
        for event in self.run([("crash", str(log))], workers=1):
            if isinstance(event, WorkerCrashed):
                time.sleep(1.0)  # longer than a process takes to start and to crash
                used.append(log.stat().st_size)
        assert used == [1, 2] and isinstance(event, TaskFailed)
        events = self.run([("crash", str(log))], workers=1)
        assert any(isinstance(event, WorkerCrashed) for event in events)
        events.close()
        assert log.stat().st_size == 3

    def test_workers_are_gone_when_the_iterator_is_closed(self):
        tasks = [("process_id", number) for number in range(3)] + [("hang", number) for number in range(2)]
        process_ids, events = [], self.run(tasks)
        while len(process_ids) < 3:
            event = next(events)
            if isinstance(event, TaskResult) and event.task[0] == "process_id":
                process_ids.append(event.value)
        events.close()
        wait_until(lambda: not any(os.path.exists(f"/proc/{number}") for number in process_ids))
        assert not [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
