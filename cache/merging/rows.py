"""Gathers the rows of a unit from the caches that have them, bit by bit as they were committed there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from embedonce.cache.merging.answers import groups_of
from embedonce.cache.merging.inputs import OpenCache
from embedonce.cache.remaining import provenance_without
from embedonce.cache.schema import FrameBatch, Segment

_KEPT_UNITS = 2  # whose rows are in memory, besides those that are written
_NOWHERE = -1


@dataclass(frozen=True, eq=False)
class FoundSegment:
    """A segment whose requests were committed somewhere.

    sources: (cache, unit) that answer its requests. source, row: (n,) int64 of each row: an index into sources, and the
    row in that shard.
    """

    segment: Segment
    sources: tuple[tuple[OpenCache, str], ...]
    source: np.ndarray
    row: np.ndarray


class RowFinder:
    """Finds requests among what several caches have committed. The first cache that has one answers it."""

    def __init__(self, caches: Sequence[OpenCache]):
        self._caches = caches
        self._batch = lru_cache(maxsize=_KEPT_UNITS)(lambda cache, unit: cache.reader.batch(unit))
        self._logits = lru_cache(maxsize=_KEPT_UNITS)(lambda cache, name, unit: cache.reader.all_logits(name, unit))

    def find_all(self, segments: Iterable[tuple[str, np.ndarray]]) -> list[FoundSegment] | None:
        """The segments with these (uid, requests); None if one of the requests was committed nowhere."""
        found = []
        for uid, request_k in segments:
            segment = self._find(uid, request_k)
            if segment is None:
                return None
            found.append(segment)
        return found

    def close_others(self, found: Sequence[FoundSegment]) -> None:
        """Close the shards of all caches that these segments are not from: each cache keeps several files open."""
        used = [cache for segment in found for cache, _ in segment.sources]
        for cache in self._caches:
            if cache not in used:
                cache.reader.close()

    def _find(self, uid: str, request_k: np.ndarray) -> FoundSegment | None:
        columns = np.full((5, len(request_k)), _NOWHERE, np.int64)  # source, status, frame_index, pts, row
        sources: list[tuple[OpenCache, str]] = []
        described = None  # any segment of the video: views and times are the same in all of them
        for cache in self._caches:
            missing = np.flatnonzero(columns[0] == _NOWHERE)
            if not len(missing) or uid not in cache.committed_uids:
                continue
            answers = cache.answers(uid)
            places = answers.find(request_k[missing])
            taken, places = missing[places >= 0], places[places >= 0]
            units, unit = np.unique(answers.unit[places], return_inverse=True)
            values = (answers.status, answers.frame_index, answers.pts, answers.row)
            columns[:, taken] = unit + len(sources), *(value[places] for value in values)
            sources += [(cache, answers.units[number]) for number in units.tolist()]
            described = described or answers.segments[0]
        if described is None or (columns[0] == _NOWHERE).any():
            return None
        return _found_segment(described, request_k, columns, tuple(sources))

    def batch(self, found: Sequence[FoundSegment]) -> FrameBatch:
        """The rows of these segments, as one unit. DamagedError if a shard is damaged."""
        parts = [self._rows(segment) for segment in found]
        jpegs = tuple(jpeg for part in parts for jpeg in part[0])
        embeddings, crop_crc32 = (np.concatenate([part[column] for part in parts]) for column in (1, 2))
        return FrameBatch(tuple(segment.segment for segment in found), jpegs, embeddings, crop_crc32)

    def _rows(self, found: FoundSegment) -> tuple[list[bytes], np.ndarray, np.ndarray]:
        """JPEGs, embeddings and crop_crc32 of a segment."""
        views, teacher = len(found.segment.views), found.sources[0][0].reader.identity.teacher
        jpegs = [b""] * len(found.row)
        embeddings = np.zeros((len(jpegs), views, teacher.embed_dim), np.float16)
        crop_crc32 = np.zeros((len(jpegs), views), np.uint32)
        for group in groups_of(found.source):
            batch, rows = self._batch(*found.sources[found.source[group[0]]]), found.row[group]
            embeddings[group], crop_crc32[group] = batch.embeddings[rows], batch.crop_crc32[rows]
            for place, row in zip(group.tolist(), rows.tolist(), strict=True):
                jpegs[place] = batch.jpegs[row]
        return jpegs, embeddings, crop_crc32

    def logits(self, name: str, found: Sequence[FoundSegment], num_classes: int) -> np.ndarray:
        """(N, V, C) float32: the stored logits of these rows. DamagedError if a shard is damaged."""
        return np.concatenate([self._logits_of(name, segment, num_classes) for segment in found])

    def _logits_of(self, name: str, found: FoundSegment, num_classes: int) -> np.ndarray:
        logits = np.zeros((len(found.row), len(found.segment.views), num_classes), np.float32)
        for group in groups_of(found.source):
            cache, unit = found.sources[found.source[group[0]]]
            logits[group] = self._logits(cache, name, unit)[found.row[group]]
        return logits


def provenance_of(found: Sequence[FoundSegment]) -> dict:
    """Who computed these rows with what: that of the first unit, and what all of them say of these videos."""
    uids = {segment.segment.video_uid for segment in found}
    provenance: dict = {}
    for cache, unit in dict.fromkeys(source for segment in found for source in segment.sources):
        record = cache.reader.records[unit]
        stated = provenance_without(record.provenance, frozenset(record.video_uids) - uids)
        provenance = {name: _joined(provenance.get(name), stated.get(name)) for name in {**provenance, **stated}}
    return provenance


def _joined(first, second):
    """Two values of the same field of a provenance, of which the first counts where they contradict each other."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {**second, **first}
    return second if first is None else first


def _found_segment(
    described: Segment, request_k: np.ndarray, columns: np.ndarray, sources: tuple[tuple[OpenCache, str], ...]
) -> FoundSegment:
    """described: a segment of the video. columns: (5, m) as in RowFinder."""
    source, status, frame_index, pts, row = columns
    answered = np.flatnonzero(row >= 0)
    frames, first = np.unique(frame_index[answered], return_index=True)
    chosen = answered[first]
    request_row = np.full(len(request_k), -1, np.int64)
    request_row[answered] = np.searchsorted(frames, frame_index[answered])
    made = replace(
        described,
        frame_index=frames,
        pts=pts[chosen],
        request_k=request_k,
        request_status=status.astype(np.uint8),
        request_row=request_row,
    )
    return FoundSegment(made, sources, source[chosen], row[chosen])
