"""Standard output and error of a command: control characters are escaped, and a closed stream stops no work.

Everything that is printed or logged goes through here, including progress bars and click's own messages.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from embedonce.pipeline.console.printable import one_line, printable

STANDARD = (0, 1, 2)  # descriptors


class GuardedStream:
    """A text stream that escapes control characters and otherwise behaves as the stream that it wraps.

    A carriage return at the start of a write is kept, since progress bars redraw their line with it. After the first
    failed write all output is discarded: silently if this is a log or the reader of the pipe has closed it, else every
    write raises OSError.
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
        """Redirect the stream to the null device: flushing its buffers at exit would fail again."""
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, self._stream.fileno())
            os.close(null)


class OneLineFormatter(logging.Formatter):
    """Formats a log record as a single line, whatever its arguments contain; a traceback follows on more lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return one_line(super().formatMessage(record))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Make sys.stdout and sys.stderr guarded streams, and keep new files from getting descriptors 0 to 2."""
    open_standard_descriptors()
    original = sys.stdout, sys.stderr
    sys.stdin = sys.stdin or _reopened(0, "r")
    sys.stdout = GuardedStream(_encodable(original[0] or _reopened(1)), is_log=False)
    sys.stderr = GuardedStream(_encodable(original[1] or _reopened(2)), is_log=True)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = original


def log_to_stderr() -> None:
    """Send the log of this package to sys.stderr, one line per record."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("embedonce").setLevel(logging.INFO)


def open_standard_descriptors() -> None:
    """Open closed descriptors (`2>&-`) on the null device: else the next file gets number 2, where libraries write."""
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
    """The stream, set to escape characters that its encoding lacks."""
    with contextlib.suppress(AttributeError, ValueError):
        stream.reconfigure(errors="backslashreplace")
    return stream
