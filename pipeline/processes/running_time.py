"""Time that a process spends running: a clock that stands still while the process does.

A laptop that is shut, Ctrl-Z, SIGSTOP, a virtual machine that is paused: none of them is anybody's silence.
"""

import threading
import time
from collections.abc import Callable

LOOK_SEC = 0.5  # how often the clock must be looked at
_MOST_SEC = 2 * LOOK_SEC  # that may pass between two looks of a process that runs


class RunningTime:
    """Seconds since it was made, of which each stretch between two looks counts _MOST_SEC at most."""

    def __init__(self):
        self._seconds, self._last = 0.0, time.monotonic()

    def seconds(self) -> float:
        """Look at the clock."""
        now = time.monotonic()
        self._seconds += min(now - self._last, _MOST_SEC)
        self._last = now
        return self._seconds


class Watchdog:
    """A context: calls on_timeout once, from a thread, if it is not left after limit_sec of running time."""

    def __init__(self, limit_sec: float, on_timeout: Callable[[], None]):
        self._limit_sec, self._on_timeout = limit_sec, on_timeout
        self._left = threading.Event()

    def __enter__(self) -> "Watchdog":
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._left.set()

    def _watch(self) -> None:
        time_passed = RunningTime()
        while not self._left.wait(min(LOOK_SEC, self._limit_sec)):
            if time_passed.seconds() >= self._limit_sec:
                self._on_timeout()
                return
