"""Progress of a run as events for a function of the user's, in place of lines on the terminal."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from embedonce.pipeline.progress import Progress, heard_by

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProgressEvent:
    """How far one stage of a run is.

    stage: such as "extracting frames". count, total: of `unit`, a plural; total is None as long as it is not known.
    note: a remark, such as why a video cannot be used; None if only the count has changed.
    """

    stage: str
    count: int
    total: int | None
    unit: str
    note: str | None = None

    def __str__(self) -> str:
        """One line, such as "extracting frames: 20/35 frames"."""
        of_total = "" if self.total is None else f"/{self.total}"
        return f"{self.stage}: {self.count}{of_total} {self.unit}" if self.note is None else self.note


OnProgress = Callable[[ProgressEvent], object]


@contextlib.contextmanager
def reported_to(on_progress: OnProgress | None) -> Iterator[None]:
    """Within this context, nothing is printed, and the function is called with each event.

    Without a function, remarks are logged as warnings. TypeError if it cannot be called.
    """
    if on_progress is not None and not callable(on_progress):
        raise TypeError(f"on_progress must be a function that takes a ProgressEvent, got {on_progress!r}")
    with heard_by(_Reporter(_log_remark if on_progress is None else on_progress)):
        yield


def _log_remark(event: ProgressEvent) -> None:
    if event.note is not None:
        log.warning("%s", event.note)


class _Reporter:
    """A listener that calls a function."""

    def __init__(self, on_progress: OnProgress):
        self._on_progress = on_progress

    def extended(self, amount: int, progress: Progress) -> None:
        self._report(progress)

    def updated(self, amount: int, progress: Progress) -> None:
        self._report(progress)

    def noted(self, text: str, progress: Progress) -> None:
        self._report(progress, text)

    def _report(self, progress: Progress, note: str | None = None) -> None:
        self._on_progress(ProgressEvent(progress.label, progress.count, progress.total, progress.unit, note))
