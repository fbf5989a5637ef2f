"""Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time

from tqdm import tqdm

from embedonce.pipeline.console.printable import one_line

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts up to total (None: unknown). A context manager; `update` counts, `note` prints a line in between.

    unit: plural noun of what is counted. quiet: count, but print nothing.
    """

    def __init__(self, total: int | None = None, label: str = "", unit: str = "it", quiet: bool = False):
        self.total, self.label, self.unit, self.quiet = total, label, unit, quiet
        self.count = 0
        self._bar = (
            tqdm(total=total, desc=label, unit=unit, file=sys.stderr) if sys.stderr.isatty() and not quiet else None
        )
        self._started = self._last_line = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.count:
            self._line()

    def update(self, amount: int = 1) -> None:
        self.count += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._line()

    def extend(self, amount: int) -> None:
        """There is more to count up to."""
        self.total = (self.total or 0) + amount
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.refresh()

    def note(self, text: str) -> None:
        """Print a line, without breaking the bar."""
        text = one_line(text)
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def _line(self) -> None:
        self._last_line = time.monotonic()
        if self.quiet:
            return
        rate = self.count / max(self._last_line - self._started, 1e-9)
        of_total = f"/{self.total}" if self.total is not None else ""
        sys.stderr.write(f"{self.label}: {self.count}{of_total} {self.unit} ({rate:.1f} {self.unit}/s)\n")
        sys.stderr.flush()
