"""Engines that run video tasks: a pool of spawned processes on this machine.

A process that crashes, hangs or fails takes nothing else with it. Knows tasks and messages, not what they hold.
"""

import contextlib
import multiprocessing
import pickle
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from embedonce.pipeline.processes.running_time import LOOK_SEC, RunningTime, Watchdog
from embedonce.pipeline.processes.worker_signals import leave_to_parent

ATTEMPTS = 2
SECONDS_BETWEEN_LOOKS = LOOK_SEC  # at the pipe, to see whether the run was stopped
SECONDS_TO_END = 5.0  # for a process that closed its pipe
MESSAGES_AHEAD = 8  # per pool: bounds the memory of rows that nobody has taken yet


@dataclass(frozen=True)
class TaskResult:
    """Something a task yielded."""

    task: object
    value: object


@dataclass(frozen=True)
class TaskDone:
    """A task came to its end."""

    task: object


@dataclass(frozen=True)
class TaskFailed:
    """A task cannot be done; reason in a few words for the user. is_passing: it may be done another time."""

    task: object
    reason: str
    is_passing: bool = False


@dataclass(frozen=True)
class WorkerCrashed:
    """A task cost a process, and may be tried again; reason in a few words for the user."""

    task: object
    reason: str


@dataclass(frozen=True)
class _Loss:
    """A Lost on its way. counted: set when its reader is done with it; nothing is tried again before."""

    event: WorkerCrashed
    counted: threading.Event


@dataclass(frozen=True)
class _Broken:
    """The supervisor itself failed: raised again where the events are read."""

    error: BaseException


class WorkerPool:
    """Runs a generator function over tasks in spawned processes, one task per process at a time.

    function: module-level, task -> iterator of picklable values; its errors become Failed. silence_sec: how long
    a task may go without yielding before its process is killed, in time that this process runs: while it is stopped,
    nothing is silent. A crashed or silent task is tried ATTEMPTS times; spent: how many of these an earlier run has
    used up.
    """

    def __init__(self, function: Callable, workers: int, silence_sec: float, spent=lambda task: 0):
        self._function, self._workers, self._silence_sec, self._spent = function, workers, silence_sec, spent

    def run(self, tasks) -> Iterator[TaskResult | TaskDone | TaskFailed | WorkerCrashed]:
        """Events of all tasks as they come; those of one task in order, ending with Done or Failed.

        Each attempt that cost a process is told as Lost, so that it can be counted on disk; the next one begins when
        the event after that is asked for.
        """
        waiting = deque(tasks)
        events: queue.Queue = queue.Queue(MESSAGES_AHEAD)
        stop = threading.Event()
        count = min(self._workers, len(waiting))
        threads = [
            threading.Thread(target=self._serve, args=(waiting, events, stop), daemon=True) for _ in range(count)
        ]
        remaining = len(threads)
        try:
            for thread in threads:
                thread.start()
            while remaining:
                event = events.get()
                if event is None:
                    remaining -= 1
                elif isinstance(event, _Broken):
                    raise event.error
                elif isinstance(event, _Loss):
                    yield event.event
                    event.counted.set()
                else:
                    yield event
        finally:
            stop.set()
            _drain(events, threads)

    def _serve(self, waiting: deque, events: queue.Queue, stop: threading.Event) -> None:
        worker = _Worker(self._function)
        try:
            while not stop.is_set():
                try:
                    task = waiting.popleft()
                except IndexError:
                    break
                self._attend(worker, task, events, stop)
        except BaseException as error:  # a thread's error would be lost: run() raises it
            events.put(_Broken(error))
        finally:
            worker.kill()
            events.put(None)

    def _attend(self, worker: "_Worker", task, events: queue.Queue, stop: threading.Event) -> None:
        """Run one task to its end. What a first attempt delivered is not delivered again by a second."""
        delivered, spent = 0, self._spent(task)
        if spent >= ATTEMPTS:
            events.put(TaskFailed(task, f"decoding it cost {spent} processes in earlier runs"))
            return
        for attempt in range(1 + spent, ATTEMPTS + 1):
            worker.send(task, self._silence_sec)
            seen = 0
            while not stop.is_set():
                kind, value = worker.receive(self._silence_sec, stop)
                if kind == "item" and _is_sign_of_life(value):
                    events.put(TaskResult(task, value))
                elif kind == "item":
                    seen += 1
                    if seen > delivered:
                        delivered = seen
                        events.put(TaskResult(task, value))
                elif kind == "done":
                    events.put(TaskDone(task))
                    return
                elif kind == "failed":
                    events.put(TaskFailed(task, *value))
                    return
                else:
                    break
            if stop.is_set():
                return
            loss = _Loss(WorkerCrashed(task, value), threading.Event())
            events.put(loss)
            while not loss.counted.wait(SECONDS_BETWEEN_LOOKS):
                if stop.is_set():
                    return
            if attempt == ATTEMPTS:
                events.put(TaskFailed(task, f"{value} ({ATTEMPTS} attempts)"))


def _is_sign_of_life(value) -> bool:
    """Whether a message says only that work goes on. These follow the clock, so that a second attempt sends others."""
    return value is None or (isinstance(value, list) and not value)


class _Worker:
    """One spawned process and the pipe to it, started when needed and again after a crash."""

    def __init__(self, function: Callable):
        self._function = function
        self._process = None
        self._pipe = None
        self._was_silent = False

    def send(self, task, limit_sec: float) -> None:
        """Give the process a task; where it does not take it in time, receive() tells."""
        if self._process is None or not self._process.is_alive():
            self.kill()
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            with contextlib.closing(theirs):
                process = context.Process(target=_work, args=(theirs, self._function), daemon=True)
                process.start()
            self._pipe, self._process = ours, process
        with contextlib.suppress(OSError), self._watched(limit_sec):
            self._pipe.send(task)

    def receive(self, silence_sec: float, stop: threading.Event) -> tuple[str, object]:
        """("item"|"done", value), ("failed", (reason, is_passing)), or ("lost", reason).

        Lost: the process is gone or was killed.
        """
        waited = RunningTime()
        try:
            while waited.seconds() < silence_sec and not stop.is_set():
                if self._pipe.poll(SECONDS_BETWEEN_LOOKS):
                    with self._watched(silence_sec):  # a process may stop in the middle of a message
                        return self._pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._process.join(SECONDS_TO_END)
            code = self._process.exitcode
            self.kill()
            if not self._was_silent and code is not None:
                return "lost", f"decoding it ended the process with {_exit_text(code)}"
        self.kill()
        return "lost", f"decoding it showed no progress for {silence_sec:g} s"

    @contextlib.contextmanager
    def _watched(self, limit_sec: float):
        """Kills the process if what is done with its pipe takes longer; the pipe then raises OSError or EOFError."""
        self._was_silent = False
        with Watchdog(limit_sec, self._end_silence):
            yield

    def _end_silence(self) -> None:
        self._was_silent = True
        self._process.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = self._pipe = None


def _work(pipe, function: Callable) -> None:
    """The loop of a worker process: tasks in, messages out, until the pipe closes."""
    leave_to_parent()
    with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            for message in _messages(function, pipe.recv()):
                pipe.send(message)


def _messages(function: Callable, task) -> Iterator[tuple[str, object]]:
    try:
        for value in function(task):
            yield "item", value
    except Exception as error:  # whatever a video does to its decoder is that video's fault, and said
        yield "failed", (str(error) or type(error).__name__, getattr(error, "is_passing", False))
    else:
        yield "done", None


def _drain(events: queue.Queue, threads) -> None:
    """Let supervisors that wait for room see the stop flag, and wait for their processes to be gone."""
    while any(thread.is_alive() for thread in threads):
        try:
            events.get(timeout=0.05)
        except queue.Empty:
            continue


def _exit_text(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    return f"signal {known.get(-code, -code)}"
