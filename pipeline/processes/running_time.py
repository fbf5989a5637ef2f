"""Measures time in which this process runs. The clock stops while the process is suspended.

A closed laptop, Ctrl-Z, SIGSTOP or a paused virtual machine does not count as a worker's silence.
"""

import threading
import time
from collections.abc import Callable

LOOK_SEC = 0.5  # how often the clock must be read
_MAX_STEP_SEC = 2 * LOOK_SEC  # counted between two readings; more means that the process was suspended


class RunningTime:
    """Seconds since creation; each interval between two readings counts _MAX_STEP_SEC at most."""

    def __init__(self) -> None:
        self._seconds, self._last = 0.0, time.monotonic()

    def seconds(self) -> float:
        """Read the clock."""
        now = time.monotonic()
        self._seconds += min(now - self._last, _MAX_STEP_SEC)
        self._last = now
        return self._seconds


class Watchdog:
    """A context that calls on_timeout once, from a thread, unless it ends within limit_sec of running time."""

    def __init__(self, limit_sec: float, on_timeout: Callable[[], None]):
        self._limit_sec, self._on_timeout = limit_sec, on_timeout
        self._has_ended = threading.Event()

    def __enter__(self) -> "Watchdog":
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._has_ended.set()

    def _watch(self) -> None:
        time_passed = RunningTime()
        while not self._has_ended.wait(min(LOOK_SEC, self._limit_sec)):
            if time_passed.seconds() >= self._limit_sec:
                self._on_timeout()
                return
