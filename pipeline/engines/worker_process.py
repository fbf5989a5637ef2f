"""One worker process and the pipe to it: started when needed, and restarted after a crash or a hang."""

import contextlib
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from embedonce.pipeline.engines.engine import Event, run_task
from embedonce.pipeline.processes.running_time import LOOK_SEC, RunningTime, Watchdog
from embedonce.pipeline.processes.worker_signals import leave_to_parent

POLL_SEC = LOOK_SEC  # how long to wait on the pipe before checking whether the run was stopped
EXIT_WAIT_SEC = 5.0  # for a process that closed its pipe


@dataclass(frozen=True)
class Crash:
    """The worker process ended or was killed; reason: a short text for the user."""

    reason: str


class WorkerProcess:
    """A spawned process that runs a function over the tasks it is sent, one at a time."""

    def __init__(self, function: Callable[[Any], Iterable[Any]]):
        self._function = function
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._has_timed_out = False

    def send(self, task: object, timeout_sec: float) -> None:
        """Send the process a task. If it does not accept the task in time, receive() returns a Crash."""
        pipe = self._running_pipe()
        with contextlib.suppress(OSError), self._killed_after(timeout_sec):
            pipe.send(task)

    def receive(self, timeout_sec: float, stop: threading.Event) -> Event[Any, Any] | Crash:
        """The next event of the task, with None for the task; or a Crash.

        Crash: the process ended, or sent nothing for timeout_sec (of running time) and was killed.
        """
        assert self._process is not None and self._pipe is not None, "send() comes first"
        waited = RunningTime()
        try:
            while waited.seconds() < timeout_sec and not stop.is_set():
                if self._pipe.poll(POLL_SEC):
                    with self._killed_after(timeout_sec):  # a process may hang in the middle of a message
                        return self._pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._process.join(EXIT_WAIT_SEC)
            code = self._process.exitcode
            self.kill()
            if not self._has_timed_out and code is not None:
                return Crash(f"decoding crashed the worker process ({_describe_exit(code)})")
        self.kill()
        return Crash(f"decoding made no progress for {timeout_sec:g} s")

    def kill(self) -> None:
        """End the process, and wait until it is gone."""
        if self._process is not None and self._pipe is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = self._pipe = None

    def _running_pipe(self) -> Connection:
        """The pipe to the process, which is started if it is not running."""
        if self._process is None or self._pipe is None or not self._process.is_alive():
            self.kill()
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            with contextlib.closing(theirs):
                process = context.Process(target=_work, args=(theirs, self._function), daemon=True)
                process.start()
            self._pipe, self._process = ours, process
        return self._pipe

    @contextlib.contextmanager
    def _killed_after(self, limit_sec: float) -> Iterator[None]:
        """Kill the process if the pipe is blocked for longer; the pipe then raises OSError or EOFError."""
        self._has_timed_out = False
        with Watchdog(limit_sec, self._on_timeout):
            yield

    def _on_timeout(self) -> None:
        self._has_timed_out = True
        if self._process is not None:
            self._process.kill()


def _work(pipe: Connection, function: Callable[[Any], Iterable[Any]]) -> None:
    """The loop of a worker process: receive tasks and send their events, until the pipe closes."""
    leave_to_parent()
    with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            for event in run_task(function, pipe.recv()):
                pipe.send(replace(event, task=None))  # the parent knows the task


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"signal {names.get(-code, -code)}"
