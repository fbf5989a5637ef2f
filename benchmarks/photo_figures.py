"""How near students are to their teacher on photos that they have not seen, and the table of conditions."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.own_teacher import is_near
from embedonce.pipeline.metrics.bootstrap_intervals import paired_difference

COSINE, CENTERED = "cosine", "centered cosine"
RETRIEVAL = {"retrieval@1": 1, "retrieval@5": 5}
NAMES = (COSINE, CENTERED, *RETRIEVAL)
Figures = Mapping[str, np.ndarray]  # name of a figure -> (N,) values of the photos


def photo_figures(student: np.ndarray, teacher: np.ndarray, center: np.ndarray) -> Figures:
    """The figures of each photo; student, teacher: (N, D) unit vectors. center: (D,), of CENTERED.

    Nearly all vectors of a teacher point in one direction, which a student learns first: CENTERED is the cosine after
    the mean vector of the training photos is subtracted from both, and RETRIEVAL how often the teacher's vector of the
    same photo is among the nearest to the student's.
    """
    found = {COSINE: (student * teacher).sum(1), CENTERED: (_unit(student - center) * _unit(teacher - center)).sum(1)}
    return found | {name: is_near(student, teacher, nearest) for name, nearest in RETRIEVAL.items()}


def difference(a: Sequence[Figures], b: Sequence[Figures], name: str, videos: Sequence[str]) -> tuple:
    """(mean of a - b, its 95 % interval or None) of one figure, of means over seeds, paired by photo."""
    means = [np.clip(np.mean([figures[name] for figures in runs], axis=0), -1, 1) for runs in (a, b)]
    mean, interval = paired_difference(*((values + 1) / 2 for values in means), videos)
    return 2 * mean, interval and (2 * interval[0], 2 * interval[1])


def markdown(runs: Mapping[str, Sequence[Figures]], seconds: Mapping[str, float], videos: Sequence[str]) -> list[str]:
    """The lines of the table: a row for each condition, compared with the first one.

    runs: condition -> the figures of each seed. seconds: of one training. videos: of each photo; intervals are over
    them.
    """
    first = next(iter(runs))
    columns = [column for name in NAMES for column in (name, f"minus {first}")]
    lines = [f"| condition | {' | '.join(columns)} | training |", "|---" * (len(columns) + 2) + "|"]
    for condition, found in runs.items():
        cells = []
        for name in NAMES:
            compared = difference(found, runs[first], name, videos) if condition != first else None
            cells += [_values(found, name), _signed(compared)]
        lines.append(f"| {condition} | {' | '.join(cells)} | {seconds[condition]:.0f} s |")
    return lines


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _values(found: Sequence[Figures], name: str) -> str:
    """The mean over seeds, and in brackets the value of each."""
    values = [float(figures[name].mean()) for figures in found]
    return f"{np.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


def _signed(compared: tuple | None) -> str:
    if compared is None:
        return ""
    mean, interval = compared
    return (
        f"{mean:+.3f} (no interval)" if interval is None else f"{mean:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"
    )
