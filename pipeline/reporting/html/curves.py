"""Charts of a training run, drawn from the text of its train_log.csv.

Loss terms are the columns that have a `gradient_share_…` column; columns without a chart are left out.
"""

import csv
import io
import math

from embedonce.pipeline.reporting.html.charts import line_chart

SHARE, SELECTION = "gradient_share_", "selection_"
MAX_LINES = 4  # in one chart, as many as there are colors
WORDS = (
    "By epoch, from the log beside the checkpoint. Terms of the loss are means over the training clips, and "
    "their total is weighted; selection clips are held out of training."
)
ABSENT = "<p>No training log lies beside the checkpoint: there are no curves.</p>"
UNREADABLE = "<p>The training log beside the checkpoint is none that can be read: there are no curves.</p>"


def training_section(log: str | None) -> str:
    """Loss terms, scores on the selection clips and shares of the gradient, by epoch. log: CSV, None: there is none."""
    if log is None:
        return ABSENT
    try:
        columns = columns_of(log)
    except csv.Error:
        return UNREADABLE
    epochs = columns.pop("epoch", [])
    if not epochs or any(epoch is None for epoch in epochs):
        return UNREADABLE
    scores = [(_words(name, SELECTION), values) for name, values in columns.items() if name.startswith(SELECTION)]
    shares = [(_words(name, SHARE), values) for name, values in columns.items() if name.startswith(SHARE)]
    terms = [name.removeprefix(SHARE) for name in columns if name.startswith(SHARE)]
    losses = [(name, columns[name]) for name in ("total", *terms) if any(columns.get(name, ()))]
    charts = [
        ("Loss terms", losses, False),
        ("Scores on the selection clips", scores, True),
        ("Share of the gradient", shares, True),
    ]
    drawn = [
        f"<div><h3>{title}</h3>{chart}</div>"
        for title, series, is_unit in charts
        for start in range(0, len(series), MAX_LINES)
        if (chart := line_chart(title, series[start : start + MAX_LINES], epochs, "epoch", is_unit))
    ]
    return f'<p>{WORDS}</p><div class="row">{"".join(drawn)}</div>' if drawn else UNREADABLE


def columns_of(log: str) -> dict[str, list[float | None]]:
    """Name -> a value for each epoch; None where it is empty or no finite number. csv.Error where it is no CSV."""
    rows = list(csv.DictReader(io.StringIO(log)))
    names = [name for name in (rows[0] if rows else ()) if name]
    return {name: [_finite(row.get(name)) for row in rows] for name in names}


def _finite(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _words(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).replace("_", " ").replace("top1", "top-1").replace("top5", "top-5")
