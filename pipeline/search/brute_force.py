"""Exact search for the nearest rows: approximate scores of all rows, then exact scores of those that may be the best.

The approximate scores are products in half precision, which are as fast as memory; how far they can be from the exact
ones is computed, and checked on the rows that are scored exactly. So the result is that of scoring every row exactly.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

log = logging.getLogger(__name__)

MAX_LENGTH = 1.05  # of a row: embeddings are unit vectors up to rounding and what the cache tolerates
FEW_ROWS = 200_000  # up to here it takes longer to import torch than to do without
BLOCK_ROWS = 4096
FIRST_CANDIDATES = 512


class Candidates(NamedTuple):
    """The m best rows, best first. rows (m,) int64; scores (m,) float32: exact.

    limit: every other row has a smaller score than this or the same; -inf if there is no other row.
    """

    rows: np.ndarray
    scores: np.ndarray
    limit: float


class _Approximate(NamedTuple):
    """scores (N,) float32, each at most `error` away from the exact one."""

    scores: np.ndarray
    error: float


def ranked(blocks: Sequence[np.ndarray], query: np.ndarray, allowed: np.ndarray | None = None) -> Iterator[Candidates]:
    """The best rows for a query, each time several times as many as before, up to all.

    blocks: (n, D) float16 each, N rows together. query: (D,) float32 unit vector. allowed: (N,) bool, rows that may be
    found; None: all. The score of a row is its scalar product with the query, from the stored values without rounding.
    """
    found = _approximate(blocks, query)
    if allowed is not None:
        found.scores[~allowed] = -np.inf
    total = len(found.scores) if allowed is None else int(allowed.sum())
    count = FIRST_CANDIDATES
    while True:
        candidates = _exact(blocks, query, found, min(count, total))
        yield candidates
        if count >= total:
            return
        count *= 4


def scores(blocks: Sequence[np.ndarray], rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(m,) float32 exact scores of rows (m,)."""
    found = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        found[part] = take(blocks, rows[part]).astype(np.float64) @ query.astype(np.float64)
    return found


def take(blocks: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """(m, D) float16: rows (m,), in any order, of blocks (n, D) one after another."""
    starts = np.cumsum([0, *map(len, blocks)])
    which = np.searchsorted(starts, rows, side="right") - 1
    found = np.empty((len(rows), blocks[0].shape[1]), np.float16)
    for number in np.unique(which):
        chosen = which == number
        found[chosen] = blocks[number][rows[chosen] - starts[number]]
    return found


def _exact(blocks: Sequence[np.ndarray], query: np.ndarray, found: _Approximate, count: int) -> Candidates:
    """The candidates with the `count` best approximate scores. What is found out to be too far off is scored anew."""
    rows = np.argpartition(-found.scores, count - 1)[:count] if 0 < count < len(found.scores) else None
    if rows is None:
        rows = np.flatnonzero(found.scores > -np.inf)[:count]
    exact = scores(blocks, rows, query)
    if len(rows) and np.abs(exact - found.scores[rows]).max() > found.error:
        log.warning("products in half precision are less exact on this machine than expected: searching in float32")
        _rescore(blocks, query, found)
        return _exact(blocks, query, _Approximate(found.scores, _float32_error(len(query))), count)
    has_others = count < np.count_nonzero(found.scores > -np.inf)
    limit = float(found.scores[rows].min() + found.error) if has_others else -np.inf
    order = np.lexsort((rows, -exact))
    return Candidates(rows[order].astype(np.int64), exact[order], limit)


# -- approximate scores ------------------------------------------------------------------------------------------------


def _approximate(blocks: Sequence[np.ndarray], query: np.ndarray) -> _Approximate:
    if sum(map(len, blocks)) <= FEW_ROWS:
        return _Approximate(_in_float32(blocks, query), _float32_error(len(query)))
    return _in_half_precision(blocks, query)


def _rescore(blocks: Sequence[np.ndarray], query: np.ndarray, found: _Approximate) -> None:
    """Replace the scores by those in float32; -inf stays."""
    possible = found.scores > -np.inf
    found.scores[possible] = _in_float32(blocks, query)[possible]


def _in_float32(blocks: Sequence[np.ndarray], query: np.ndarray) -> np.ndarray:
    parts = [
        block[start : start + BLOCK_ROWS].astype(np.float32) @ query
        for block in blocks
        for start in range(0, len(block), BLOCK_ROWS)
    ]
    return np.concatenate([*parts, np.zeros(0, np.float32)])


def _in_half_precision(blocks: Sequence[np.ndarray], query: np.ndarray) -> _Approximate:
    """Products of float16, which torch adds up in float32 and rounds to float16."""
    import torch

    rounded = query.astype(np.float16)
    half = torch.from_numpy(rounded)
    found = np.concatenate([torch.mv(torch.from_numpy(block), half).numpy() for block in blocks]).astype(np.float32)
    of_query = MAX_LENGTH * float(np.linalg.norm(query - rounded.astype(np.float32)))
    of_result = float(np.abs(found).max()) * 2.0**-11 + 2.0**-24
    return _Approximate(found, of_query + of_result + _float32_error(len(query)))


def _float32_error(width: int) -> float:
    """Of a sum of so many products, whose absolute values add up to MAX_LENGTH at most."""
    return MAX_LENGTH * (width + 2) * 2.0**-24
