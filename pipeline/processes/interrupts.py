"""Ctrl-C, SIGTERM and SIGHUP: the first ends a run in order, a second one at once, wherever the process is.

The first raises KeyboardInterrupt in the main thread, or waits for the end of a step that must not be cut (`deferred`).
Python swallows what is raised inside some of its hooks (at a fork, in finalizers); it is then raised again. The second
is handled by a thread of its own, which needs nothing of the main thread.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
DOUBLE_SEC = 0.1  # a terminal and a parent that forwards signals deliver the same Ctrl-C twice
AGAIN_SEC = 0.05  # until an interrupt that was swallowed is raised again
MOST_POSTPONEMENTS = 40
_AGAIN = b"\0"  # not a signal number


class Interrupted(KeyboardInterrupt):
    """The user, or the system, asked for the end of the run."""


class _Watch:
    """The signals of one run, and the thread that looks after them."""

    def __init__(self):
        self.first: int | None = None  # signal number
        self.deferrals = 0
        self.postponements = 0
        self.is_due = True  # whether the next signal raises
        self.repeats = 0  # signals on their way that this process sends itself
        self._main = threading.main_thread().ident
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._before_fd = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._before_hook, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        ours = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN and _is_ours(number)]
        self._before = {number: signal.signal(number, self._on_signal) for number in ours}
        self._thread = threading.Thread(target=self._attend, name="signals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        sys.unraisablehook = self._before_hook
        os.close(self._writing)  # ends the thread
        self._thread.join()
        os.close(self._reading)

    def after_fork(self) -> None:
        """In a child process, which has signals of its own."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        sys.unraisablehook = self._before_hook
        os.close(self._writing)
        os.close(self._reading)

    def raise_again(self) -> None:
        os.write(self._writing, _AGAIN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """In the main thread, between two of its instructions."""
        self.first = self.first or number
        if self.deferrals or not self.is_due:
            return
        if _is_in_a_hook(frame) and self.postponements < MOST_POSTPONEMENTS:
            self.postponements += 1
            self.raise_again()
            return
        self.is_due = False
        raise Interrupted

    def _on_unraisable(self, found) -> None:
        if found.exc_type is not None and issubclass(found.exc_type, Interrupted):
            self.raise_again()
        else:
            self._before_hook(found)

    def _attend(self) -> None:
        first_number, first_time = 0, 0.0
        while message := os.read(self._reading, 1):
            if message == _AGAIN:
                time.sleep(AGAIN_SEC)
                self.is_due = True
                self.repeats += 1
                signal.pthread_kill(self._main, self.first or signal.SIGINT)
            elif message[0] not in self._before:
                continue  # of a signal that somebody else handles
            elif self.repeats:
                self.repeats -= 1
            elif not first_number:
                first_number, first_time = message[0], time.monotonic()
            elif time.monotonic() - first_time >= DOUBLE_SEC:
                _end_at_once(128 + first_number)


_watch: _Watch | None = None
_programs: weakref.WeakSet[subprocess.Popen] = weakref.WeakSet()


def handle_until_exit() -> None:
    """Handle the signals of this process, whose main thread this is, until it is gone: its last joins, too."""
    global _watch
    _watch = _watch or _Watch()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Handle the signals of a run within this. In another thread, or where they are handled already, they stay."""
    global _watch
    if _watch is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _watch = _Watch()
    try:
        yield
    finally:
        watch, _watch = _watch, None
        watch.close()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """A first signal raises nothing within this; at its end it does."""
    if _watch is None:
        yield
        return
    _watch.deferrals += 1
    try:
        yield
    finally:
        _watch.deferrals -= 1
    check()


def check() -> None:
    """Interrupted where a signal came that was deferred."""
    if requested() and not _watch.deferrals and _watch.is_due:
        _watch.is_due = False
        raise Interrupted


def requested() -> bool:
    """Whether a signal has come."""
    return _watch is not None and _watch.first is not None


def exit_code() -> int:
    """128 and the number of the signal, as shells have it; 130 where an interrupt came from elsewhere."""
    return 128 + (_watch.first if requested() else signal.SIGINT)


def end_with_us(program: subprocess.Popen) -> None:
    """Have a second signal end this program, too."""
    _programs.add(program)


def _is_ours(number: int) -> bool:
    """torchrun ends its processes by SIGTERM while they wait for each other in calls that no handler gets into."""
    return number == signal.SIGINT or int(os.environ.get("WORLD_SIZE", "1") or 1) == 1


def _is_in_a_hook(frame: FrameType | None) -> bool:
    """Whether a lock of logging is being taken or given back, as a fork does: raising there breaks it."""
    return frame is not None and frame.f_code.co_filename == logging.__file__ and "Lock" in frame.f_code.co_name


def _end_at_once(code: int) -> None:
    for process in (*multiprocessing.active_children(), *_programs):
        with contextlib.suppress(OSError, ValueError):
            process.kill()
    with contextlib.suppress(OSError):
        os.write(2, b"\nended at once\n")
    os._exit(code)


def _after_fork() -> None:
    global _watch
    if _watch is not None:
        _watch.after_fork()
        _watch = None


os.register_at_fork(after_in_child=_after_fork)
