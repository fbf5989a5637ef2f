"""Tells the trackers of a run what they are to know, and keeps the training going when one of them fails."""

import contextlib
import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from embedonce.cache import commit
from embedonce.pipeline.tracking.registry import CSV, load_tracker
from embedonce.pipeline.tracking.tracker import TrackedRun, Tracker

log = logging.getLogger(__name__)

RUN_ID = "tracking_id.txt"
_ID_CHARACTERS = frozenset("0123456789abcdef")


def check_trackers(names: Collection[str]) -> None:
    """InputError, in one sentence, if the package of one of them cannot be imported."""
    for name in names:
        if name != CSV:
            load_tracker(name)


class Reports:
    """The trackers of one student's training."""

    def __init__(self, names: Collection[str], run: TrackedRun):
        kinds = {name: load_tracker(name) for name in names if name != CSV}
        self._trackers: dict[str, Tracker] = {}
        for name, kind in kinds.items():
            with self._dropped_if_it_fails(name, "start"):
                tracker = kind()
                tracker.start(run)
                self._trackers[name] = tracker

    def log(self, entry: Mapping[str, Any]) -> None:
        """entry: the log of an epoch, of which numbers are reported."""
        numbers = {name: value for name, value in entry.items() if isinstance(value, (int, float))}
        epoch = int(numbers.pop("epoch"))
        self._each("log", lambda tracker: tracker.log(epoch, numbers))

    def close(self) -> None:
        self._each("close", lambda tracker: tracker.close())
        self._trackers.clear()

    def _each(self, what: str, call: Callable[[Tracker], None]) -> None:
        for name, tracker in tuple(self._trackers.items()):
            with self._dropped_if_it_fails(name, what):
                call(tracker)

    @contextlib.contextmanager
    def _dropped_if_it_fails(self, name: str, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a library of others raises, such as without a network
            self._trackers.pop(name, None)
            reason = " ".join(str(error).split()) or type(error).__name__
            log.warning("%s failed (%s: %s); the training goes on without it", name, what, reason)
            log.debug("%s", name, exc_info=error)


def run_id(folder: Path, is_new: bool) -> str:
    """The id of the run in a folder: made for a new one, and kept for when it is continued."""
    path = folder / RUN_ID
    known = "" if is_new or not path.is_file() else path.read_text(errors="replace").strip()
    if known and set(known) <= _ID_CHARACTERS:
        return known
    made = secrets.token_hex(8)
    commit.replace(path, made.encode())
    return made
