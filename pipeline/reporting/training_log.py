"""Logs of a training run: train_log.csv and train_log.json."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

from embedonce.cache import commit
from embedonce.models.plain_files import LIST_BYTES, read_plain
from embedonce.pipeline.console.printable import csv_cell

CSV_LOG = "train_log.csv"
JSON_LOG = "train_log.json"
SELECTION_SCORES = tuple(
    f"selection_{name}" for name in ("top1", "mean_class_accuracy", "mean_average_precision", "cosine")
)


def summary(epoch: int | None, selection: Mapping[str, float | None], num_epochs: int, was_finished: bool) -> str:
    """One line about a run of num_epochs: its best epoch, and that epoch's scores from `selection`, its log."""
    scores = [(name, selection.get(name)) for name in SELECTION_SCORES]
    formatted = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores if value is not None)
    line = f"best student of {num_epochs} epochs: epoch {epoch}" + (f" ({formatted})" if formatted else "")
    return f"already trained: {line}" if was_finished else line


def read_log(folder: Path) -> str | None:
    """The text of a run's train_log.csv; None if it does not exist or cannot be read."""
    try:
        return read_plain(folder / CSV_LOG, LIST_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except OSError:
        return None


def write_logs(folder: Path, history: list[dict]) -> None:
    """Replace both logs. history: one flat dict per epoch."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(dict.fromkeys(name for entry in history for name in entry)))
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in entry.items()} for entry in history)
    commit.replace(folder / CSV_LOG, table.getvalue().encode())
    commit.replace(folder / JSON_LOG, json.dumps(history, indent=1).encode())
