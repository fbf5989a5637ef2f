"""Near-duplicates between videos, and rows unlike those of every other video, by exact cosines. Pure numpy.

All pairs of rows are compared, in blocks: memory does not grow with the number of pairs.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

BLOCK = 2048  # rows; a block of cosines has the square of it


class Pair(NamedTuple):
    """Two rows of different groups, by number, and their cosine. first < second."""

    first: int
    second: int
    cosine: float


class Outlier(NamedTuple):
    """A row, the row of another group nearest to it, and their cosine."""

    row: int
    nearest: int
    cosine: float


class _Block(NamedTuple):
    """Cosines (n, m) float32 between rows [first, first+n) and [second, second+m); -inf within a group."""

    first: int
    second: int
    cosines: np.ndarray


def near_duplicates(
    embeddings: np.ndarray,
    groups: Sequence[str],
    threshold: float = 0.98,
    limit: int = 100,
    on_rows: Callable[[int], object] = lambda count: None,
) -> list[Pair]:
    """The most similar pairs of rows of different groups: of each two groups the best pair, best first.

    embeddings: (N, D) of any float type and length. groups (N,): for example the video of each row. threshold: the
    least cosine. limit: pairs returned at most. on_rows: called with numbers of rows that were compared with all after
    them. ValueError if an argument is invalid.
    """
    names = _checked(embeddings, groups, limit)
    best: dict[tuple[int, int], Pair] = {}
    for block in _blocks(embeddings, names, on_rows):
        for pair in _best_pairs(block, names, threshold, limit):
            key = _pair_of_groups(names, pair)
            best[key] = min(pair, best.get(key, pair), key=_order)
        best = dict(sorted(best.items(), key=lambda item: _order(item[1]))[:limit])
    return list(best.values())


def outliers(
    embeddings: np.ndarray,
    groups: Sequence[str],
    limit: int = 20,
    on_rows: Callable[[int], object] = lambda count: None,
) -> list[Outlier]:
    """The rows least similar to all rows of other groups: of each group the farthest row, farthest first.

    Arguments as in near_duplicates(). Empty if there is only one group.
    """
    names = _checked(embeddings, groups, limit)
    if not len(names) or names.max() == 0:
        return []
    cosines, nearest = _nearest_rows(embeddings, names, on_rows)
    order = np.argsort(cosines, kind="stable")
    first_of_group = np.sort(np.unique(names[order], return_index=True)[1])
    return [Outlier(int(row), int(nearest[row]), float(cosines[row])) for row in order[first_of_group][:limit]]


def _checked(embeddings: np.ndarray, groups: Sequence[str], limit: int) -> np.ndarray:
    """(N,) int64: each row's group as a number from 0 on."""
    if embeddings.ndim != 2 or len(embeddings) != len(groups):
        raise ValueError(f"expected (N, D) embeddings of {len(groups)} rows, not an array of shape {embeddings.shape}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    return np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]


def _blocks(embeddings: np.ndarray, groups: np.ndarray, on_rows: Callable[[int], object]) -> Iterator[_Block]:
    """Every two rows of different groups at least once; rows of the same block twice."""
    starts = range(0, len(embeddings), BLOCK)
    for first in starts:
        rows = _unit_rows(embeddings, first)
        for second in starts[first // BLOCK :]:
            others = rows if second == first else _unit_rows(embeddings, second)
            cosines = np.minimum(rows @ others.T, 1)
            same = groups[first : first + BLOCK, None] == groups[second : second + BLOCK]
            cosines[same] = -np.inf
            yield _Block(first, second, cosines)
        on_rows(len(rows))


def _unit_rows(embeddings: np.ndarray, start: int) -> np.ndarray:
    """Rows [start, start + BLOCK) as float32 of length 1. ValueError if a row has no direction."""
    rows = embeddings[start : start + BLOCK].astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    invalid = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(invalid):
        raise ValueError(f"row {start + int(invalid[0])} of the embeddings is zero or not finite")
    return rows / lengths


def _best_pairs(block: _Block, groups: np.ndarray, threshold: float, limit: int) -> list[Pair]:
    """The best pair of each two groups, if it has the least cosine: the best of a block."""
    rows, columns = np.nonzero(block.cosines >= threshold)
    cosines = block.cosines[rows, columns]
    first, second = _ascending(rows + block.first, columns + block.second)
    order = np.lexsort((second, first, -cosines))
    low, high = _ascending(groups[first[order]], groups[second[order]])
    kept = order[np.sort(np.unique(low * len(groups) + high, return_index=True)[1])][:limit]
    columns_of_pairs = (first[kept].tolist(), second[kept].tolist(), cosines[kept].tolist())
    return [Pair(*values) for values in zip(*columns_of_pairs, strict=True)]


def _ascending(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.minimum(a, b), np.maximum(a, b)


def _pair_of_groups(groups: np.ndarray, pair: Pair) -> tuple[int, int]:
    first, second = int(groups[pair.first]), int(groups[pair.second])
    return min(first, second), max(first, second)


def _order(pair: Pair) -> tuple[float, int, int]:
    """Best first; equal ones by their rows."""
    return (-pair.cosine, pair.first, pair.second)


def _nearest_rows(
    embeddings: np.ndarray, groups: np.ndarray, on_rows: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) float32 and (N,) int64: the largest cosine of each row with one of another group, and which that is."""
    cosines = np.full(len(embeddings), -np.inf, np.float32)
    nearest = np.zeros(len(embeddings), np.int64)
    for block in _blocks(embeddings, groups, on_rows):
        _keep_larger(cosines, nearest, block.first, block.cosines, block.second)
        _keep_larger(cosines, nearest, block.second, block.cosines.T, block.first)
    return cosines, nearest


def _keep_larger(cosines: np.ndarray, nearest: np.ndarray, start: int, block: np.ndarray, start_of_others: int) -> None:
    """Update what is known of rows [start, start+n) by their cosines (n, m) with rows from start_of_others on."""
    column = block.argmax(1)
    largest = block[np.arange(len(block)), column]
    is_larger = np.flatnonzero(largest > cosines[start : start + len(block)])
    cosines[start + is_larger] = largest[is_larger]
    nearest[start + is_larger] = start_of_others + column[is_larger]
