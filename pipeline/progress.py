"""Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Protocol

from tqdm import tqdm

from embedonce.pipeline.console.printable import one_line

SECONDS_BETWEEN_LINES = 10.0

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Takes what is counted where nothing is to be shown. May raise an error to end the work."""

    def extended(self, amount: int, progress: "Progress") -> None:
        """There is more to count up to."""

    def updated(self, amount: int, progress: "Progress") -> None: ...

    def noted(self, text: str, progress: "Progress") -> None: ...


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """What is made in this context prints nothing and tells the listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Progress:
    """Counts up to total (None: unknown). A context manager; `update` counts, `note` prints a line in between.

    unit: plural noun of what is counted. quiet: count, but print nothing.
    """

    def __init__(self, total: int | None = None, label: str = "", unit: str = "it", quiet: bool = False):
        self._listener = _listener.get()
        self.total, self.label, self.unit, self.quiet = total, label, unit, quiet or self._listener is not None
        self.count = 0
        shows_bar = sys.stderr.isatty() and not self.quiet
        self._bar = tqdm(total=total, desc=label, unit=unit, file=sys.stderr) if shows_bar else None
        if self._listener is not None and total:
            self._listener.extended(total, self)
        self._started = self._last_line = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.count:
            self._line()
        self._log_time()

    def update(self, amount: int = 1) -> None:
        self.count += amount
        if self._listener is not None:
            self._listener.updated(amount, self)
        if self._bar is not None:
            self._bar.update(amount)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._line()

    def extend(self, amount: int) -> None:
        """There is more to count up to."""
        self.total = (self.total or 0) + amount
        if self._listener is not None:
            self._listener.extended(amount, self)
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.refresh()

    def relabel(self, label: str) -> None:
        """Show another label from now on."""
        self.label = label
        if self._bar is not None:
            self._bar.set_description(label)

    def note(self, text: str) -> None:
        """Print a line, without breaking the bar."""
        text = one_line(text)
        if self._listener is not None:
            self._listener.noted(text, self)
        elif self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def _log_time(self) -> None:
        if self._listener is None and self.count:
            log.debug("%s took %.2f s for %d %s", self.label, time.monotonic() - self._started, self.count, self.unit)

    def _line(self) -> None:
        self._last_line = time.monotonic()
        if self.quiet:
            return
        rate = self.count / max(self._last_line - self._started, 1e-9)
        of_total = f"/{self.total}" if self.total is not None else ""
        sys.stderr.write(f"{self.label}: {self.count}{of_total} {self.unit} ({rate:.1f} {self.unit}/s)\n")
        sys.stderr.flush()
