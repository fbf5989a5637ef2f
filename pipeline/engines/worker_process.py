"""One worker process that runs tasks: started when needed, and restarted after a crash or a hang."""

import contextlib
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from embedonce.pipeline.engines.channel import Channel
from embedonce.pipeline.engines.child_process import ChildProcess
from embedonce.pipeline.engines.engine import Event, run_task
from embedonce.pipeline.processes.running_time import LOOK_SEC, RunningTime, Watchdog
from embedonce.pipeline.processes.shared_memory import SharedMemory

POLL_SEC = LOOK_SEC  # how long to wait on the pipe before checking whether the run was stopped


@dataclass(frozen=True)
class Crash:
    """The worker process ended or was killed; reason: a short text for the user."""

    reason: str


class WorkerProcess:
    """A spawned process that runs a function over the tasks it is sent, one at a time."""

    def __init__(self, function: Callable[[Any], Iterable[Any]], memory: SharedMemory | None = None):
        """memory: large arrays in the values pass through it; without, they go through the pipe."""
        self._function, self._memory = function, memory
        self._process: ChildProcess | None = None
        self._has_timed_out = False

    def send(self, task: object, timeout_sec: float) -> None:
        """Send the process a task. If it does not accept the task in time, receive() returns a Crash."""
        process = self._running_process()
        with contextlib.suppress(OSError), self._killed_after(timeout_sec):
            process.channel.send(task)

    def receive(self, timeout_sec: float, stop: threading.Event) -> Event[Any, Any] | Crash:
        """The next event of the task, with None for the task; or a Crash.

        Crash: the process ended, or sent nothing for timeout_sec (of running time) and was killed.
        """
        assert self._process is not None, "send() comes first"
        waited = RunningTime()
        try:
            while waited.seconds() < timeout_sec and not stop.is_set():
                if self._process.channel.pipe.poll(POLL_SEC):
                    with self._killed_after(timeout_sec):  # a process may hang in the middle of a message
                        return self._process.channel.receive()
        except (EOFError, OSError, pickle.UnpicklingError):
            how = self._process.end()
            self._process = None
            if not self._has_timed_out and how is not None:
                return Crash(f"decoding crashed the worker process ({how})")
        self.kill()
        return Crash(f"decoding made no progress for {timeout_sec:g} s")

    def kill(self) -> None:
        """End the process, and wait until it is gone."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _running_process(self) -> ChildProcess:
        """The process, which is started if it is not running."""
        if self._process is None or not self._process.is_alive():
            self.kill()
            self._process = ChildProcess(_work, (self._function,), to_parent=self._memory)
        return self._process

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


def _work(channel: Channel, function: Callable[[Any], Iterable[Any]]) -> None:
    """The loop of a worker process: receive tasks and send their events, until the pipe closes."""
    while True:
        for event in run_task(function, channel.receive()):
            channel.send(replace(event, task=None))  # the parent knows the task
