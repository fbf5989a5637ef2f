"""Adds up the time in which something works, as opposed to the time in which it waits."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Value = TypeVar("Value")


class BusyTime:
    """Seconds of work, added up over all threads that work. clock: in seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.seconds = 0.0
        self._clock, self._lock = clock, threading.Lock()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """The time within this context counts."""
        start = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self.seconds += self._clock() - start

    def call(self, function: Callable[..., Value], *arguments: object) -> Value:
        """Call a function; its time counts."""
        with self.working():
            return function(*arguments)

    def during(self, values: Iterable[Value]) -> Iterator[Value]:
        """The same values; the time in which they are made counts, and that which their receiver takes does not."""
        iterator = iter(values)
        while True:
            with self.working():
                try:
                    value = next(iterator)
                except StopIteration:
                    return
            yield value
