"""The story of a training run as files: train_log.csv for plotting, train_log.json for programs."""

import csv
import io
import json
from pathlib import Path

from cache import commit


def summary(best: dict, num_epochs: int, was_finished: bool) -> str:
    """One line on a run of num_epochs: its best epoch and what it scored. best: the checkpoint's content."""
    scores = [(name, best["selection"].get(name)) for name in ("selection_top1", "selection_cosine")]
    told = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores if value is not None)
    line = f"best student of {num_epochs} epochs: epoch {best['epoch']}" + (f" ({told})" if told else "")
    return f"already trained: {line}" if was_finished else line


def write_logs(folder: Path, history: list[dict]) -> None:
    """Replace both logs; history holds one flat dict per epoch."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(dict.fromkeys(name for entry in history for name in entry)))
    writer.writeheader()
    writer.writerows(history)
    commit.replace(folder / "train_log.csv", table.getvalue().encode())
    commit.replace(folder / "train_log.json", json.dumps(history, indent=1).encode())
