"""Embeds stored rows again, to check that the current teacher computes what the cache contains.

Weights and settings are compared by the identity. This check finds what the identity cannot show: a library, device or
precision that computes something else.
"""

from collections.abc import Collection

import numpy as np

from embedonce.cache.backends.shard_format import Shard
from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.reader import CacheReader
from embedonce.cache.vectors import MIN_COSINE
from embedonce.pipeline.extraction.added_teacher.stored_rows import window_of_row
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.teachers.teacher import Teacher

NUM_CHECKED_ROWS = 8


def choose_rows(
    reader: CacheReader, count: int, seed: int, units: Collection[str] | None = None
) -> list[tuple[str, int]]:
    """(unit, row) of count random rows of the cache, or of these units, or of all if there are fewer, in order."""
    chosen_units = reader.records if units is None else units
    sizes = {unit: record.num_rows for unit, record in sorted(reader.records.items()) if unit in chosen_units}
    total = sum(sizes.values())
    chosen = np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False))
    names, bounds = list(sizes), np.cumsum([0, *sizes.values()])
    units = np.searchsorted(bounds, chosen, side="right") - 1
    return [(names[u], int(n - bounds[u])) for u, n in zip(units, chosen, strict=True)]


def cosines(reader: CacheReader, teacher: Teacher, rows: list[tuple[str, int]]) -> np.ndarray:
    """(n, 1+K) float64 cosines between the stored embeddings and those of the same stored pixels now."""
    row_cosines = []
    for unit, row in rows:
        shard, views = reader.frames(unit), reader.views_of(unit, row)
        crops = canonical_frame.replay(shard.jpeg(row), views, reader.identity.teacher.input_size)
        row_cosines.append(_cosines(shard, row, teacher.embed(crops)))
    return np.array(row_cosines).reshape(len(rows), -1)


def added_cosines(reader: CacheReader, name: str, teacher: Teacher, rows: list[tuple[str, int]]) -> np.ndarray:
    """As cosines(), of the embeddings of an added teacher."""
    row_cosines = []
    for unit, row in rows:
        crops = window_of_row(reader, unit, row, teacher.identity)
        column = reader.teachers.column(name, unit)
        row_cosines.append(_cosines(column, row, teacher.embed(crops)))
    return np.array(row_cosines).reshape(len(rows), -1)


def _cosines(shard: Shard, row: int, embeddings: np.ndarray) -> np.ndarray:
    """(V,) cosines of the embeddings of a row with (V, D) other ones."""
    stored = np.stack([shard.embeddings(row, row + 1, view)[0] for view in range(len(embeddings))])
    return (stored.astype(np.float64) * embeddings).sum(1)


def check_teacher(reader: CacheReader, teacher: Teacher) -> None:
    """IdentityMismatchError if the teacher does not reproduce a few stored embeddings."""
    rows = choose_rows(reader, NUM_CHECKED_ROWS, seed=0)
    if not rows:
        return
    worst = cosines(reader, teacher, rows).min()
    if not worst >= MIN_COSINE:
        raise IdentityMismatchError(
            f"{reader.cache_dir} contains embeddings that this teacher does not reproduce on this machine (cosine "
            f"{worst:.4f} for one of {len(rows)} stored frames, at least {MIN_COSINE} expected). Nothing was changed; "
            "use another --cache-dir, or the device and library versions that the cache was made with (its records/ "
            "name them)"
        )
