"""The local engine: a pool of spawned worker processes on this machine.

A task that crashes, hangs or fails affects no other task.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from embedonce.pipeline.engines.engine import (
    MAX_ATTEMPTS,
    POLL_SEC,
    EngineOptions,
    Event,
    TaskDone,
    TaskFailed,
    TaskResult,
    WorkerCrashed,
)
from embedonce.pipeline.engines.shared_ring import close_memories, shared_memories
from embedonce.pipeline.engines.worker_process import Crash, WorkerProcess

log = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 8  # per pool: bounds the memory of rows that the caller has not taken yet


@dataclass(frozen=True)
class _UncountedCrash:
    """A WorkerCrashed in the queue. counted: set once the caller is done with it; no retry happens before."""

    event: WorkerCrashed[Any]
    counted: threading.Event


@dataclass(frozen=True)
class _PoolError:
    """An error of the pool itself, which run() raises."""

    error: BaseException


Queue = queue.Queue[Event[Any, Any] | _UncountedCrash | _PoolError | None]  # None: a supervisor thread has ended


class _TaskQueue:
    """Tasks for the supervisor threads. They are requested by the thread that runs the pool, a few ahead."""

    def __init__(self, tasks: Iterable[Any], length: int):
        self._tasks, self._length = iter(tasks), length
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.is_exhausted = False

    def refill(self) -> None:
        """Request tasks until enough are ready, no further one is ready, or there are no more."""
        while not self.is_exhausted and self._ready.qsize() < self._length:
            try:
                task = next(self._tasks)
            except StopIteration:
                self.is_exhausted = True
                return
            if task is None:
                return
            self._ready.put(task)

    def most_at_once(self) -> int:
        """How many tasks can run at once."""
        return self._ready.qsize() if self.is_exhausted else self._length

    def get(self, stop: threading.Event) -> Any | None:
        """The next task; None if there are no more, or the run was stopped."""
        while not stop.is_set():
            is_last = self.is_exhausted  # before looking: nothing is added after it is set
            try:
                return self._ready.get(timeout=0.0 if is_last else POLL_SEC)
            except queue.Empty:
                if is_last:
                    return None
        return None


class WorkerPool:
    """Runs a generator function over tasks in spawned processes, one task per process at a time.

    function: module-level, task -> iterable of picklable values. A task that yields nothing for options.timeout_sec has
    its process killed; only time in which this process itself runs counts. A task that crashes or hangs its process is
    tried MAX_ATTEMPTS times.
    """

    def __init__(self, function: Callable[[Any], Iterable[Any]], options: EngineOptions):
        self._function, self._options = function, options

    def run(self, tasks: Iterable[Any]) -> Iterator[Event[Any, Any]]:
        """Yield events as Engine.run does. A retry starts when the event after WorkerCrashed is requested."""
        waiting = _TaskQueue(tasks, self._options.workers)
        events: Queue = queue.Queue(MAX_QUEUED_EVENTS)
        stop = threading.Event()
        waiting.refill()
        memories = shared_memories(waiting.most_at_once(), self._options.shared_bytes)
        arguments = [(WorkerProcess(self._function, memory), waiting, events, stop) for memory in memories]
        threads = [threading.Thread(target=self._supervise, args=packed, daemon=True) for packed in arguments]
        try:
            for thread in threads:
                thread.start()
            yield from _events_until_done(events, len(threads), waiting)
        finally:
            stop.set()
            _drain(events, threads)
            close_memories(memories)

    def _supervise(self, worker: WorkerProcess, waiting: _TaskQueue, events: Queue, stop: threading.Event) -> None:
        """The loop of a supervisor thread, which has one worker process: it starts when it has its first task."""
        try:
            while (task := waiting.get(stop)) is not None:
                self._run_task(worker, task, events, stop)
        except BaseException as error:  # an error in a thread would be lost: run() raises it
            events.put(_PoolError(error))
        finally:
            worker.kill()
            events.put(None)

    def _run_task(self, worker: WorkerProcess, task: Any, events: Queue, stop: threading.Event) -> None:
        """Run one task until it ends, with retries. A value that one attempt delivered is not delivered again."""
        delivered, used = 0, self._options.attempts_used(task)
        if used >= MAX_ATTEMPTS:
            events.put(TaskFailed(task, f"decoding crashed {used} worker processes in earlier runs"))
            return
        while True:
            delivered, crash = self._attempt(worker, task, delivered, events, stop)
            if crash is None or not _report_crash(task, crash, events, stop):
                return
            used = max(used + 1, self._options.attempts_used(task))
            if used >= MAX_ATTEMPTS:
                events.put(TaskFailed(task, f"{crash.reason} ({MAX_ATTEMPTS} attempts)"))
                return

    def _attempt(
        self, worker: WorkerProcess, task: Any, delivered: int, events: Queue, stop: threading.Event
    ) -> tuple[int, Crash | None]:
        """Run a task once, without delivering its first values again.

        Returns how many values are delivered now, and the crash; None if the task ended, or the run was stopped.
        """
        worker.send(task, self._options.timeout_sec)
        received = 0
        while not stop.is_set():
            message = worker.receive(self._options.timeout_sec, stop)
            if isinstance(message, Crash):
                return delivered, None if stop.is_set() else message
            is_value = isinstance(message, TaskResult) and not _is_heartbeat(message.value)
            received += is_value
            if not is_value or received > delivered:
                delivered = max(delivered, received)
                events.put(replace(message, task=task))  # the caller's own object, not a copy
            if isinstance(message, TaskFailed):
                log.debug("a task failed in a worker process: %s", message.traceback)
            if isinstance(message, TaskDone | TaskFailed):
                return delivered, None
        return delivered, None


def _events_until_done(events: Queue, num_threads: int, waiting: _TaskQueue) -> Iterator[Event[Any, Any]]:
    """The events in the queue, until all supervisor threads have ended. Requests further tasks in between."""
    while num_threads:
        waiting.refill()
        try:
            event = events.get(timeout=None if waiting.is_exhausted else POLL_SEC)
        except queue.Empty:
            continue
        if event is None:
            num_threads -= 1
        elif isinstance(event, _PoolError):
            raise event.error
        elif isinstance(event, _UncountedCrash):
            yield event.event
            event.counted.set()
        else:
            yield event


def _report_crash(task: Any, crash: Crash, events: Queue, stop: threading.Event) -> bool:
    """Queue a WorkerCrashed, and wait until the caller is done with it. False if the run was stopped meanwhile."""
    uncounted = _UncountedCrash(WorkerCrashed(task, crash.reason), threading.Event())
    events.put(uncounted)
    while not uncounted.counted.wait(POLL_SEC):
        if stop.is_set():
            return False
    return True


def _is_heartbeat(value: Any) -> bool:
    """Whether a value (None or an empty list) only says that work continues.

    Heartbeats depend on the clock, so a retry sends a different number of them.
    """
    return value is None or (isinstance(value, list) and not value)


def _drain(events: Queue, threads: list[threading.Thread]) -> None:
    """Wait until all processes are gone; supervisors that wait for room in the queue see the stop flag."""
    while any(thread.is_alive() for thread in threads):
        try:
            events.get(timeout=0.05)
        except queue.Empty:
            continue
