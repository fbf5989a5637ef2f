"""Standard output and error of a command: what is written there takes no effect on a terminal, and a closed or broken
stream stops no work.

Everything that is printed or logged goes through here, progress bars and click's own messages included.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from embedonce.pipeline.console.printable import one_line, printable

STANDARD = (0, 1, 2)  # descriptors


class GuardedStream:
    """A text stream that escapes what a terminal would act on; anything else is the stream's own.

    A carriage return at the start of a write is kept: progress bars redraw their line by it. From the first write that
    fails, everything goes nowhere, in silence where this is a log or the reader of a pipe has left; else each write
    raises OSError.
    """

    def __init__(self, stream, is_log: bool):
        self._stream, self._is_log = stream, is_log
        self._is_broken = False
        self._error: OSError | None = None

    def write(self, text: str) -> int:
        redraw = "\r" if text.startswith("\r") else ""
        self._guarded(self._stream.write, redraw + printable(text[len(redraw) :]))
        return len(text)

    def flush(self) -> None:
        self._guarded(self._stream.flush)

    def isatty(self) -> bool:
        return not self._is_broken and self._stream.isatty()

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def _guarded(self, function, *arguments) -> None:
        if not self._is_broken:
            try:
                function(*arguments)
            except OSError as error:
                self._is_broken = True
                self._discard_the_rest()
                if not (self._is_log or isinstance(error, BrokenPipeError)):
                    self._error = OSError(error.errno, error.strerror, "standard output")
        if self._error is not None:
            raise self._error

    def _discard_the_rest(self) -> None:
        """What is in buffers still would fail again when the interpreter ends."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class OneLineFormatter(logging.Formatter):
    """A log record is one line, whatever its arguments hold; only a traceback takes more."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return one_line(super().formatMessage(record))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Within this, sys.stdout and sys.stderr are guarded streams, and no file can be opened in their place."""
    open_standard_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdin = sys.stdin or _reopened(0, "r")
    sys.stdout = GuardedStream(_encodable(before[0] or _reopened(1)), is_log=False)
    sys.stderr = GuardedStream(_encodable(before[1] or _reopened(2)), is_log=True)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


def log_to_stderr() -> None:
    """Send the project's log to sys.stderr, a line for each record."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("embedonce").setLevel(logging.INFO)


def open_standard_descriptors() -> None:
    """Open those that are closed (`2>&-`): else the next file would be number 2, and libraries write to that number."""
    for descriptor in STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)


def _reopened(descriptor: int, mode: str = "w"):
    return open(descriptor, mode, encoding="utf-8", closefd=False)


def _encodable(stream):
    """The stream, with characters that its encoding lacks shown escaped."""
    with contextlib.suppress(AttributeError, ValueError):
        stream.reconfigure(errors="backslashreplace")
    return stream
