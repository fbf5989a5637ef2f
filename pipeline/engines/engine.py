"""The engine protocol: an engine runs a function over tasks and reports what happens to each task as events.

Defines the events and the protocol. Engines know tasks and messages, not what they contain.
"""

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from embedonce.pipeline.processes.busy_time import BusyTime

POLL_SEC = 0.1  # until the next task is requested, if none was ready
MAX_ATTEMPTS = 2  # worker processes that one task may crash or hang, over all runs, before it fails

Task = TypeVar("Task")
Value = TypeVar("Value")


@dataclass(frozen=True)
class TaskResult(Generic[Task, Value]):
    """A value that a task yielded."""

    task: Task
    value: Value


@dataclass(frozen=True)
class TaskDone(Generic[Task]):
    """A task finished. busy_sec: how long its function worked, without waiting for the receiver of its values."""

    task: Task
    busy_sec: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class TaskFailed(Generic[Task]):
    """A task cannot be completed; reason: a short text for the user. is_temporary: a later run may succeed.

    busy_sec: as in TaskDone, of the last attempt; 0 if that crashed. traceback: of the error, for a log.
    """

    task: Task
    reason: str
    is_temporary: bool = False
    busy_sec: float = field(default=0.0, compare=False)
    traceback: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class WorkerCrashed(Generic[Task]):
    """A task crashed or hung its worker, and may be retried; reason: a short text for the user."""

    task: Task
    reason: str


Event = TaskResult[Task, Value] | TaskDone[Task] | TaskFailed[Task] | WorkerCrashed[Task]


class Engine(Protocol[Task, Value]):
    """Runs one function over tasks."""

    def run(self, tasks: Iterable[Task | None]) -> Iterator[Event[Task, Value]]:
        """Yield the events of all tasks as they occur.

        tasks: requested one after another, between events, in the thread that requests the events. None: no task is
        ready yet, and the next should be requested later (`awaited` does so for engines that run one task at a time).

        The values of one task come in the order in which its function yields them. Each task ends with exactly one
        TaskDone or TaskFailed. An error in one task does not affect other tasks. An engine with worker processes yields
        WorkerCrashed for each attempt that crashed or hung one, and does not retry before the next event is requested,
        so that the caller can first record the attempt. Closing the iterator stops all work; KeyboardInterrupt passes
        through to the caller.
        """
        ...


def no_attempts(task: Any) -> int:
    """The `attempts_used` of tasks that are new."""
    return 0


@dataclass(frozen=True)
class EngineOptions:
    """What every engine is configured with.

    workers: tasks that run at once. timeout_sec: how long a task may go without yielding a value. attempts_used: how
    many of a task's MAX_ATTEMPTS earlier runs have used up, or others of this run that share its attempts; asked from
    any thread, before each attempt. shared_bytes: of memory that each worker process may share
    with this one, for large arrays in the values; 0: they go through pipes.
    """

    workers: int
    timeout_sec: float
    attempts_used: Callable[[Any], int] = no_attempts
    shared_bytes: int = 0


def awaited(tasks: Iterable[Task | None]) -> Iterator[Task]:
    """The tasks of Engine.run(), waiting where none is ready."""
    for task in tasks:
        if task is None:
            time.sleep(POLL_SEC)
        else:
            yield task


def run_task(function: Callable[[Task], Iterable[Value]], task: Task) -> Iterator[Event[Task, Value]]:
    """Run one task in this process and yield its events."""
    busy = BusyTime()
    try:
        for value in busy.during(function(task)):
            yield TaskResult(task, value)
    except Exception as error:  # any error that a video causes in a decoder is the fault of that video, and reported
        reason, is_temporary = str(error) or type(error).__name__, getattr(error, "is_temporary", False)
        yield TaskFailed(task, reason, is_temporary, busy.seconds, traceback.format_exc())
    else:
        yield TaskDone(task, busy.seconds)
