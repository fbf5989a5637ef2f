"""Ctrl-C, SIGTERM and SIGHUP: the first signal ends a run in order, a second one ends the process immediately.

The first raises KeyboardInterrupt in the main thread, or waits for the end of a step that must not be interrupted
(`deferred`). Python discards exceptions that are raised inside some of its hooks (at a fork, in finalizers); the
interrupt is then raised again. The second signal is handled by a thread that needs nothing of the main thread.
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
from multiprocessing.process import BaseProcess
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
DOUBLE_SEC = 0.1  # signals closer together count as one: a terminal and a parent may both forward the same Ctrl-C
AGAIN_SEC = 0.05  # delay before a discarded interrupt is raised again
MAX_POSTPONEMENTS = 40
_AGAIN = b"\0"  # not a signal number


class Interrupted(KeyboardInterrupt):
    """The user or the system requested the end of the run."""


class _SignalHandler:
    """Handles the signals of one run. A thread reads signal numbers from a pipe that the interpreter writes to."""

    def __init__(self) -> None:
        self.first: int | None = None  # number of the first signal
        self.deferrals = 0  # nesting depth of deferred()
        self.postponements = 0
        self.is_due = True  # whether the next signal raises
        self.num_resent = 0  # signals in flight that this process sent to itself
        self._main = threading.main_thread().ident or 0
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._previous_fd = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN and _is_ours(number)]
        self._previous = {number: signal.signal(number, self._on_signal) for number in handled}
        self._thread = threading.Thread(target=self._read_signals, name="signals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Restore what was there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        sys.unraisablehook = self._previous_hook
        os.close(self._writing)  # ends the thread
        self._thread.join()
        os.close(self._reading)

    def after_fork(self) -> None:
        """In a child process, which handles its own signals."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        sys.unraisablehook = self._previous_hook
        os.close(self._writing)
        os.close(self._reading)

    def raise_again(self) -> None:
        """Raise the interrupt once more, after a moment."""
        os.write(self._writing, _AGAIN)

    def raise_deferred(self) -> None:
        """Interrupted if a signal came while interrupts were deferred, and they no longer are."""
        if self.first is not None and not self.deferrals and self.is_due:
            self.is_due = False
            raise Interrupted

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread, between two of its instructions."""
        self.first = self.first or number
        if self.deferrals or not self.is_due:
            return
        if _is_in_a_hook(frame) and self.postponements < MAX_POSTPONEMENTS:
            self.postponements += 1
            self.raise_again()
            return
        self.is_due = False
        raise Interrupted

    def _on_unraisable(self, unraisable) -> None:
        if unraisable.exc_type is not None and issubclass(unraisable.exc_type, Interrupted):
            self.raise_again()
        else:
            self._previous_hook(unraisable)

    def _read_signals(self) -> None:
        """The loop of the thread."""
        first_number, first_time = 0, 0.0
        while message := os.read(self._reading, 1):
            if message == _AGAIN:
                time.sleep(AGAIN_SEC)
                self.is_due = True
                self.num_resent += 1
                signal.pthread_kill(self._main, self.first or signal.SIGINT)
            elif message[0] not in self._previous:
                continue  # somebody else handles this signal
            elif self.num_resent:
                self.num_resent -= 1
            elif not first_number:
                first_number, first_time = message[0], time.monotonic()
            elif time.monotonic() - first_time >= DOUBLE_SEC:
                _exit_immediately(128 + first_number)


_handler: _SignalHandler | None = None
_programs: weakref.WeakSet[subprocess.Popen] = weakref.WeakSet()


def handle_until_exit() -> None:
    """Handle the signals of this process until it exits, its final joins included. Call from the main thread."""
    global _handler
    _handler = _handler or _SignalHandler()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Handle signals within this context. Does nothing outside the main thread, or if they are handled already."""
    global _handler
    if _handler is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _handler = _SignalHandler()
    try:
        yield
    finally:
        handler, _handler = _handler, None
        handler.close()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """The first signal raises at the end of this context, not within it."""
    handler = _handler
    if handler is None:
        yield
        return
    handler.deferrals += 1
    try:
        yield
    finally:
        handler.deferrals -= 1
    handler.raise_deferred()


def requested() -> bool:
    """Whether a signal has come."""
    return _handler is not None and _handler.first is not None


def exit_code() -> int:
    """128 plus the number of the signal, as in shells; 130 if the interrupt did not come from a signal."""
    number = _handler.first if _handler is not None else None
    return 128 + (number or signal.SIGINT)


def kill_on_second_signal(program: subprocess.Popen) -> None:
    """Also end this program when a second signal comes."""
    _programs.add(program)


def _is_ours(number: int) -> bool:
    """False for SIGTERM under torchrun, whose processes wait for each other in calls that handlers cannot interrupt."""
    return number == signal.SIGINT or int(os.environ.get("WORLD_SIZE", "1") or 1) == 1


def _is_in_a_hook(frame: FrameType | None) -> bool:
    """Whether logging acquires or releases its lock, as at a fork: raising there would break the lock."""
    return frame is not None and frame.f_code.co_filename == logging.__file__ and "Lock" in frame.f_code.co_name


def _exit_immediately(code: int) -> None:
    children: list[BaseProcess | subprocess.Popen] = [*multiprocessing.active_children(), *_programs]
    for process in children:
        with contextlib.suppress(OSError, ValueError):
            process.kill()
    with contextlib.suppress(OSError):
        os.write(2, b"\nended at once\n")
    os._exit(code)


def _after_fork() -> None:
    global _handler
    if _handler is not None:
        _handler.after_fork()
        _handler = None


os.register_at_fork(after_in_child=_after_fork)
