"""The story of a training run as files: train_log.csv for plotting, train_log.json for programs."""

import csv
import io
import json
from pathlib import Path

from cache import commit


def write_logs(folder: Path, history: list[dict]) -> None:
    """Replace both logs; history holds one flat dict per epoch."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(dict.fromkeys(name for entry in history for name in entry)))
    writer.writeheader()
    writer.writerows(history)
    commit.replace(folder / "train_log.csv", table.getvalue().encode())
    commit.replace(folder / "train_log.json", json.dumps(history, indent=1).encode())
