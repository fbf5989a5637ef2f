"""The story of a training run as files: train_log.csv for plotting, train_log.json for programs, TensorBoard's."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

from embedonce.cache import commit
from embedonce.models.plain_files import LIST_BYTES, read_plain
from embedonce.pipeline.console.printable import csv_cell
from embedonce.pipeline.errors import InputError

CSV_LOG = "train_log.csv"
JSON_LOG = "train_log.json"


def summary(epoch: int | None, selection: Mapping[str, float | None], num_epochs: int, was_finished: bool) -> str:
    """One line about a run of num_epochs: its best epoch, and that epoch's scores from `selection`, its log."""
    scores = [(name, selection.get(name)) for name in ("selection_top1", "selection_cosine")]
    told = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores if value is not None)
    line = f"best student of {num_epochs} epochs: epoch {epoch}" + (f" ({told})" if told else "")
    return f"already trained: {line}" if was_finished else line


def read_log(folder: Path) -> str | None:
    """The text of a run's train_log.csv; None where there is none, or it cannot be read."""
    try:
        return read_plain(folder / CSV_LOG, LIST_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except OSError:
        return None


def write_logs(folder: Path, history: list[dict]) -> None:
    """Replace both logs; history holds one flat dict per epoch."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(dict.fromkeys(name for entry in history for name in entry)))
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in entry.items()} for entry in history)
    commit.replace(folder / CSV_LOG, table.getvalue().encode())
    commit.replace(folder / JSON_LOG, json.dumps(history, indent=1).encode())


class Board:
    """Scalars of each epoch for TensorBoard, in a folder `tensorboard` beside the logs."""

    def __init__(self, folder: Path, first_epoch: int):
        """first_epoch: what an earlier, stopped run wrote from there on is taken back."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("--tensorboard needs its package: pip install tensorboard") from error
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_epoch)

    def write(self, entry: dict) -> None:
        for name, value in entry.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, entry["epoch"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
