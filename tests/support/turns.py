"""Functions that run in threads of one process, one at a time, and change turns between requests to a store.

Knows nothing of what the functions do. A killed function makes no more requests, as a process that was killed.
"""

import threading
import time
from collections.abc import Callable

import pytest

from embedonce.cache import opening

REQUESTS = (
    *("put_if_absent", "replace", "replace_version", "delete", "get", "open", "exists", "is_folder", "list", "version"),
    *("versions", "digest", "sync"),
)
_here = threading.local()
SECONDS_TO_STOP = 60.0


class Killed(BaseException):
    """Raised in place of every request of a function that is to be dead."""


class Task:
    """A function that stops before each of its requests until it is let go on. num_requests: made so far."""

    def __init__(self, call: Callable[[], object]):
        self._call, self._turn, self._stopped = call, threading.Semaphore(0), threading.Semaphore(0)
        self.has_ended, self.error, self.result, self.num_requests = False, None, None, 0
        self._waits, self._is_killed, self.is_in_request = False, False, False
        threading.Thread(target=self._run, daemon=True).start()
        self._wait()

    def go_on(self, requests: float = float("inf")) -> None:
        """Let it make so many requests, or end; it stops before if it waits for others."""
        self._waits = False
        while requests > 0 and not self.has_ended and not self._waits:
            self._turn.release()
            self._wait()
            requests -= 1

    def kill(self) -> None:
        if self.has_ended:
            return
        self._is_killed = True
        self._turn.release()
        self._wait()

    def end(self) -> object:
        """Its result. Raises the error that it ended with."""
        if self.error is not None:
            raise self.error
        return self.result

    def before_request(self) -> None:
        """Called by its own thread."""
        if self._is_killed:
            raise Killed
        self._stopped.release()
        self._turn.acquire()
        if self._is_killed:
            raise Killed
        self.num_requests += 1

    def pause(self) -> None:
        """Called by its own thread when it waits for others."""
        self._waits = True
        self.before_request()

    def _wait(self) -> None:
        assert self._stopped.acquire(timeout=SECONDS_TO_STOP), "it neither makes a request nor ends"

    def _run(self) -> None:
        _here.task = self
        try:
            self.result = self._call()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.has_ended = True
        self._stopped.release()


def taking_turns(patch: pytest.MonkeyPatch, *stores: type) -> None:
    """Let tasks stop before each request to a store of these classes, and give way instead of sleeping."""
    for store in stores:
        for name in REQUESTS:
            patch.setattr(store, name, _stopping(getattr(store, name)))
    patch.setattr(
        opening, "_sleep", lambda seconds: _here.task.pause() if hasattr(_here, "task") else time.sleep(seconds)
    )


def _stopping(real: Callable) -> Callable:
    """A method that is one request, whatever others it calls."""

    def method(*arguments, **named):
        task = getattr(_here, "task", None)
        if task is None or task.is_in_request:
            return real(*arguments, **named)
        task.before_request()
        task.is_in_request = True
        try:
            return real(*arguments, **named)
        finally:
            task.is_in_request = False

    return method


def _give_way(seconds: float) -> None:
    task = getattr(_here, "task", None)
    time.sleep(seconds) if task is None else task.pause()


def finish(*tasks: Task) -> None:
    """Let all of them end, in turns where they wait for each other."""
    for _ in range(1000):
        for task in tasks:
            task.go_on()
        if all(task.has_ended for task in tasks):
            return
    raise AssertionError("they wait for each other for ever")
