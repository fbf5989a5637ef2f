"""Stored rows embedded again: is the teacher at hand the one that made them? Knows readers and the teacher's protocol.

Weights and settings are compared by the identity; this sees what it cannot: another library, device or precision that
computes something else.
"""

import numpy as np

from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.teachers.teacher import Teacher

NUM_PROBES = 8
MIN_COSINE = 0.999


def choose_rows(reader: CacheReader, count: int, seed: int) -> list[tuple[str, int]]:
    """(unit, row) of count rows of the cache, or of all there are, in order."""
    sizes = {unit: record.num_rows for unit, record in sorted(reader.records.items())}
    total = sum(sizes.values())
    chosen = np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False))
    names, bounds = list(sizes), np.cumsum([0, *sizes.values()])
    units = np.searchsorted(bounds, chosen, side="right") - 1
    return [(names[u], int(n - bounds[u])) for u, n in zip(units, chosen, strict=True)]


def cosines(reader: CacheReader, teacher: Teacher, rows: list[tuple[str, int]]) -> np.ndarray:
    """(n, 1+K) float64 cosines of what is stored with what the teacher says now of the same stored pixels."""
    found = []
    for unit, row in rows:
        shard, views = reader.frames(unit), reader.views_of(unit, row)
        crops = canonical_frame.replay(shard.jpeg(row), views, reader.identity.teacher.input_size)
        stored = np.stack([shard.embeddings(row, row + 1, view)[0] for view in range(len(views))])
        found.append((stored.astype(np.float64) * teacher.embed(crops)).sum(1))
    return np.array(found).reshape(len(rows), -1)


def check_teacher(reader: CacheReader, teacher: Teacher) -> None:
    """IdentityMismatchError where the teacher does not say again what is stored of a few rows."""
    rows = choose_rows(reader, NUM_PROBES, seed=0)
    if not rows:
        return
    worst = cosines(reader, teacher, rows).min()
    if not worst >= MIN_COSINE:
        raise IdentityMismatchError(
            f"{reader.directory} holds embeddings that this teacher does not make of the same pixels on this machine "
            f"(cosine {worst:.4f} for one of {len(rows)} stored frames, at least {MIN_COSINE} expected). Nothing was "
            "changed; use another --cache-dir, or the device and library versions that the records name"
        )
