"""The pool of worker processes survives whatever videos do to decoders."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedonce.pipeline.engines.engine import EngineOptions, TaskDone, TaskFailed, TaskResult, WorkerCrashed
from embedonce.pipeline.engines.process_pool import WorkerPool
from tests.support.conformance.engine import IsolatingEngineConformance
from tests.support.conformance.engine_tasks import run_named_task

ROOT = Path(__file__).parents[2]


@pytest.mark.integration
class TestWorkerPool(IsolatingEngineConformance):
    """The pool is an engine."""

    make_engine = WorkerPool


def ends_with(task, reason: str, timeout_sec: float = 30.0) -> bool:
    """Whether the task fails for this reason, and another one completes."""
    events = list(WorkerPool(run_named_task, EngineOptions(2, timeout_sec)).run([task, ("count_to", 2)]))
    ends = [event for event in events if isinstance(event, TaskDone | TaskFailed)]
    return TaskDone(("count_to", 2)) in ends and TaskFailed(task, reason) in ends and len(ends) == 2


@pytest.mark.slow
def test_the_reason_of_a_failure_names_the_crash_or_the_timeout(tmp_path):
    crashed = "decoding crashed the worker process (signal SIGSEGV) (2 attempts)"
    assert ends_with(("crash", str(tmp_path / "log")), crashed)
    assert ends_with(("hang", 0), "decoding made no progress for 2.5 s (2 attempts)", timeout_sec=2.5)
    task = ("count_to", 3)
    events = list(WorkerPool(run_named_task, EngineOptions(1, 30.0, lambda task: 2)).run([task]))
    assert events == [TaskFailed(task, "decoding crashed 2 worker processes in earlier runs")]


@pytest.mark.slow
def test_a_process_that_ends_or_hangs_in_the_middle_of_a_message_fails_only_its_task():
    crashed = "decoding crashed the worker process (signal SIGKILL) (2 attempts)"
    assert ends_with(("stop_in_a_message", signal.SIGKILL), crashed)
    hung = "decoding made no progress for 3 s (2 attempts)"
    assert ends_with(("stop_in_a_message", signal.SIGSTOP), hung, timeout_sec=3.0)


class _ExitsOnArrival:
    """A function that ends the process it is sent to, before that process receives any task."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_process_that_never_receives_its_task_fails_only_that_task():
    task = "x" * 1_000_000  # larger than a pipe holds
    *crashes, event = WorkerPool(_ExitsOnArrival(), EngineOptions(1, 5.0)).run([task])
    assert crashes == [WorkerCrashed(task, "decoding crashed the worker process (exit code 9)")] * 2
    assert event == TaskFailed(task, "decoding crashed the worker process (exit code 9) (2 attempts)")


def test_attempts_that_other_tasks_use_up_count():
    """Both attempts are gone after the first crash, since another task has used up one."""
    used = iter([0, 2])
    events = list(WorkerPool(_ExitsOnArrival(), EngineOptions(1, 5.0, lambda task: next(used))).run(["x" * 1_000_000]))
    assert [type(event) for event in events] == [WorkerCrashed, TaskFailed]
    assert events[1].reason.endswith("(2 attempts)")


def test_the_end_of_a_task_says_how_long_its_function_worked():
    tasks = [("count_to", 2), ("fail", "bad header")]
    ends = [e for e in WorkerPool(run_named_task, EngineOptions(1, 30.0)).run(tasks) if not isinstance(e, TaskResult)]
    assert [type(end) for end in ends] == [TaskDone, TaskFailed] and all(end.busy_sec > 0 for end in ends)


def test_the_task_of_an_event_is_the_callers_own_object():
    task = ("count_to", 1)
    events = list(WorkerPool(run_named_task, EngineOptions(1, 30.0)).run([task]))
    assert len(events) == 2 and all(event.task is task for event in events)


SCRIPT = """
print("begun")
from embedonce.pipeline.engines.engine import EngineOptions
from embedonce.pipeline.engines.process_pool import WorkerPool
from tests.support.conformance.engine_tasks import run_named_task
print(len(list(WorkerPool(run_named_task, EngineOptions(1, 30.0)).run([("count_to", 2)]))))
"""


def test_a_script_that_starts_a_pool_does_not_begin_anew_in_its_processes(tmp_path):
    """Even if it has no `if __name__ == "__main__"`."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])}
    ran = subprocess.run([sys.executable, tmp_path / "script.py"], env=environment, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("begun\n3\n", "")
