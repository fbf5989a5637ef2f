"""Finds videos that two caches have under the same name with different content. Reads rows; changes nothing.

Rows are equal if the teacher saw the same pixels and its embeddings agree as well as they do between machines.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from embedonce.cache.errors import some
from embedonce.cache.merging.answers import Answers, find_sorted, groups_of
from embedonce.cache.merging.inputs import MergeConflictError, OpenCache
from embedonce.cache.merging.withdrawals import Withdrawals
from embedonce.cache.plan import PlannedVideo
from embedonce.cache.vectors import MIN_COSINE, cosines

_DESCRIPTION = ("canonical_size", "rotation", "mirrored", "left_eye", "time_base", "first_pts", "by_order")
_KEPT_UNITS = 4  # whose embeddings are in memory


def refuse_differences(caches: Sequence[OpenCache], withdrawals: Withdrawals) -> frozenset[str]:
    """The videos that several caches have, all equal where they overlap. MergeConflictError, with names, if not."""
    comparison, holders = _Comparison(), {uid: [cache] for cache in caches[:1] for uid in cache.plan.videos}
    shared, conflicts = set(), []
    for cache in caches[1:]:
        for uid in cache.reader.video_uids:
            if withdrawals.has(uid, cache.plan.videos[uid].fingerprint):
                continue
            found = (comparison.difference(uid, holder, cache) for holder in holders.get(uid, ()))
            conflicts += [f"{uid}: {problem}" for problem in found if problem]
            shared |= {uid} if uid in holders else set()
            holders.setdefault(uid, []).append(cache)
        for compared in caches:
            compared.reader.close()
    if conflicts:
        raise MergeConflictError(
            f"videos that have the same uid and different content: {len(conflicts)} ({some(conflicts)}). Nothing was "
            "changed; take each of them out of one of the caches with refresh --video, or remove --video for good"
        )
    return frozenset(shared)


class _Comparison:
    """Compares the same video in two caches. Embeddings of a few units are kept in memory."""

    def __init__(self):
        self._rows = lru_cache(maxsize=_KEPT_UNITS)(_read_rows)

    def difference(self, uid: str, first: OpenCache, second: OpenCache) -> str | None:
        """What differs where both have the video, with both caches; None if nothing does."""
        problem = next(self._differences(uid, first, second), None)
        return None if problem is None else f"{problem} in {first.name} and {second.name}"

    def _differences(self, uid: str, first: OpenCache, second: OpenCache) -> Iterator[str]:
        yield from _description_differences(first.plan.videos[uid], second.plan.videos[uid])
        (k, frames), (other_k, other_frames) = first.planned_frames(uid), second.planned_frames(uid)
        places = find_sorted(k, other_k)
        if (frames[places >= 0] != other_frames[places[places >= 0]]).any():
            yield "the same times are answered by other frames"
        yield from self._answer_differences(first, second, first.answers(uid), second.answers(uid))

    def _answer_differences(self, first: OpenCache, second: OpenCache, a: Answers, b: Answers) -> Iterator[str]:
        in_b = b.find(a.k)
        in_a = np.flatnonzero(in_b >= 0)
        in_b = in_b[in_a]
        for name, what in (("status", "another outcome"), ("frame_index", "other frames"), ("pts", "other times")):
            if (getattr(a, name)[in_a] != getattr(b, name)[in_b]).any():
                yield f"the same requests have {what}"
        has_row = (a.row[in_a] >= 0) & (b.row[in_b] >= 0)
        in_a, in_b = in_a[has_row], in_b[has_row]
        for group in groups_of(a.unit[in_a] * len(b.units) + b.unit[in_b]):
            ours, theirs = in_a[group], in_b[group]
            units = a.units[a.unit[ours[0]]], b.units[b.unit[theirs[0]]]
            yield from self._row_differences((first, second), units, (a.row[ours], b.row[theirs]))

    def _row_differences(self, caches, units: tuple[str, str], rows: tuple[np.ndarray, np.ndarray]) -> Iterator[str]:
        """caches, units, rows: of both sides."""
        digests = {cache.reader.records[unit].sha256 for cache, unit in zip(caches, units, strict=True)}
        if len(digests) == 1 and np.array_equal(*rows):
            return  # the same bytes
        (crops, embeddings), (other_crops, other_embeddings) = map(self._rows, caches, units)
        if not np.array_equal(crops[rows[0]], other_crops[rows[1]]):
            yield "the teacher saw other pixels"
        values = cosines(embeddings[rows[0]], other_embeddings[rows[1]])
        if (values < MIN_COSINE).any():
            yield f"the embeddings differ (cosine {values.min():.4f})"


def _read_rows(cache: OpenCache, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """crop_crc32 (N, V) uint32 and embeddings (N, V, D) float16 of a unit with rows. DamagedError if it is damaged."""
    return cache.reader.frames(unit).columns()["crop_crc32"], cache.reader.all_embeddings(unit)


def _description_differences(a: PlannedVideo, b: PlannedVideo) -> Iterator[str]:
    if a.fingerprint and b.fingerprint and a.fingerprint != b.fingerprint:
        yield "other files (their fingerprints differ)"
    for name in _DESCRIPTION:
        if getattr(a, name) != getattr(b, name):
            yield f"{name} is {getattr(a, name)} and {getattr(b, name)}"
    if not np.array_equal(a.views, b.views):
        yield "other views"
