"""The protocol of experiment trackers: they receive a training run, and the figures of each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class TrackedRun:
    """The training of one student.

    folder: of the student's files, where local trackers write. id: the same when a stopped run continues. name: of the
    run, and group: of the runs of students that are trained together. settings: option names to JSON values.
    first_epoch: from 1, the first that will be told; what was told of it and later ones before is void.
    """

    folder: Path
    id: str
    name: str
    group: str
    settings: Mapping[str, Any]
    first_epoch: int = 1


class Tracker(Protocol):
    """Keeps the figures of one run. Made once for each student, in the first process only.

    Any error of a tracker is turned into one warning, after which it gets nothing more: it never ends a training.
    """

    def start(self, run: TrackedRun) -> None:
        """Begin, or continue the run of this id."""

    def log(self, epoch: int, figures: Mapping[str, float]) -> None:
        """The figures of an epoch, from 1."""

    def close(self) -> None:
        """The training has ended, or is interrupted."""
