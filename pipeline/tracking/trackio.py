"""Trackio, which keeps runs in a folder of the user, or in a Space if TRACKIO_SPACE_ID is set."""

from collections.abc import Mapping

import trackio

from embedonce.pipeline.tracking.tracker import TrackedRun

PROJECT = "embedonce"


class Trackio:
    """Implements Tracker."""

    def start(self, run: TrackedRun) -> None:
        name = f"{run.name}-{run.id}"  # trackio knows runs by their names alone
        settings = dict(run.settings)
        self._run = trackio.init(project=PROJECT, name=name, group=run.group, config=settings, resume="allow")

    def log(self, epoch: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=epoch)

    def close(self) -> None:
        self._run.finish()
