"""The pool of worker processes survives whatever videos do to decoders."""

import os
import signal
import threading

from embedonce.pipeline.engines.engine import EngineOptions, TaskDone, TaskFailed, WorkerCrashed
from embedonce.pipeline.engines.process_pool import WorkerPool
from tests.support.conformance.engine import IsolatingEngineConformance, run_named_task


class TestWorkerPool(IsolatingEngineConformance):
    """The pool is an engine."""

    make_engine = WorkerPool


def stop_in_a_message(number):
    """Send this signal to the process while it sends a message, which is larger than a pipe holds."""
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    while True:
        yield bytes(50_000_000)


def outcomes(function, tasks, timeout_sec: float) -> dict:
    """task -> the event that ended it."""
    events = WorkerPool(function, EngineOptions(2, timeout_sec)).run(tasks)
    return {event.task: event for event in events if isinstance(event, TaskDone | TaskFailed)}


def test_the_reason_of_a_failure_names_the_crash_or_the_timeout(tmp_path):
    tasks = [("crash", str(tmp_path / "log")), ("hang", 0)]
    assert outcomes(run_named_task, tasks, 1.5) == {
        tasks[0]: TaskFailed(tasks[0], "decoding crashed the worker process (signal SIGSEGV) (2 attempts)"),
        tasks[1]: TaskFailed(tasks[1], "decoding made no progress for 1.5 s (2 attempts)"),
    }
    task = ("count_to", 3)
    events = list(WorkerPool(run_named_task, EngineOptions(1, 30.0, lambda task: 2)).run([task]))
    assert events == [TaskFailed(task, "decoding crashed 2 worker processes in earlier runs")]


def test_a_process_that_ends_or_hangs_in_the_middle_of_a_message_fails_only_its_task():
    killed, stopped = signal.SIGKILL, signal.SIGSTOP
    assert outcomes(stop_in_a_message, [killed, stopped], 3.0) == {
        killed: TaskFailed(killed, "decoding crashed the worker process (signal SIGKILL) (2 attempts)"),
        stopped: TaskFailed(stopped, "decoding made no progress for 3 s (2 attempts)"),
    }


class _ExitsOnArrival:
    """A function that ends the process it is sent to, before that process receives any task."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_process_that_never_receives_its_task_fails_only_that_task():
    task = "x" * 1_000_000  # larger than a pipe holds
    *crashes, event = WorkerPool(_ExitsOnArrival(), EngineOptions(1, 5.0)).run([task])
    assert crashes == [WorkerCrashed(task, "decoding crashed the worker process (exit code 9)")] * 2
    assert event == TaskFailed(task, "decoding crashed the worker process (exit code 9) (2 attempts)")


def test_the_task_of_an_event_is_the_callers_own_object():
    task = ("count_to", 1)
    events = list(WorkerPool(run_named_task, EngineOptions(1, 30.0)).run([task]))
    assert len(events) == 2 and all(event.task is task for event in events)
