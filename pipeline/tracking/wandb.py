"""Weights & Biases. With WANDB_MODE=offline, nothing leaves this machine; its files are in the sub-folder `wandb`."""

import os
from collections.abc import Mapping

import wandb

from embedonce.pipeline.tracking.tracker import TrackedRun

PROJECT = "embedonce"


class WeightsAndBiases:
    """Implements Tracker. WANDB_PROJECT, WANDB_ENTITY and its other variables apply."""

    def start(self, run: TrackedRun) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(run.folder),
            id=run.id,
            name=run.name,
            group=run.group,
            config=dict(run.settings),
            resume="allow",
            reinit="create_new",  # each of several students has a run of its own
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, epoch: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=epoch)

    def close(self) -> None:
        self._run.finish()
