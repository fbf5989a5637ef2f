"""How sure a mean over clips is: percentile intervals that resample whole recordings, and paired differences.

Knows numbers and the names of recordings; not what the numbers measure.
"""

from collections.abc import Sequence

import numpy as np

SAMPLES = 10_000
_AT_ONCE = 1_000_000  # recordings drawn before they are summed: bounds the memory whatever there is to draw from


def mean_interval(values: np.ndarray, recordings: Sequence[str]) -> tuple[float, float] | None:
    """95 % percentile interval of the mean of (N,) values, one a clip; None of fewer than two recordings.

    Clips of one recording look alike, so it is recordings that are drawn, with all of their clips (the cluster
    bootstrap: Davison and Hinkley, Bootstrap Methods and Their Application, 1997, section 3.8); 10,000 samples of a
    fixed seed.
    """
    names, group = np.unique(np.asarray(recordings, str), return_inverse=True)
    if len(names) < 2:
        return None
    sums, counts = np.bincount(group, values), np.bincount(group)
    generator, rows = np.random.default_rng(0), max(1, _AT_ONCE // len(names))
    means = []
    for start in range(0, SAMPLES, rows):
        chosen = generator.integers(len(names), size=(min(rows, SAMPLES - start), len(names)))
        means.append(sums[chosen].sum(1) / counts[chosen].sum(1))
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return float(low), float(high)


def paired_difference(
    a: np.ndarray, b: np.ndarray, recordings: Sequence[str]
) -> tuple[float, tuple[float, float] | None]:
    """Mean of a - b and its interval; a, b (N,) are values of the same clips, in the same order."""
    differences = np.asarray(a, float) - np.asarray(b, float)
    return float(differences.mean()), mean_interval(differences, recordings)
