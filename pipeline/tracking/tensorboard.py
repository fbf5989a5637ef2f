"""TensorBoard's event files, in the sub-folder `tensorboard`."""

from collections.abc import Mapping

from torch.utils.tensorboard import SummaryWriter

from embedonce.pipeline.tracking.tracker import TrackedRun


class TensorBoard:
    """Implements Tracker."""

    def start(self, run: TrackedRun) -> None:
        self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.first_epoch)

    def log(self, epoch: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
