"""What a merge adds to the plan of its target: the committed requests that the target lacks, unit by unit.

Pure functions: nothing is read or written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from embedonce.cache.merging.answers import find_sorted
from embedonce.cache.merging.inputs import OpenCache
from embedonce.cache.merging.withdrawals import Withdrawals
from embedonce.cache.plan import PlannedSegment, PlannedVideo, Unit, unit_name


@dataclass
class Extension:
    """videos, units: to append to the plan of the target. num_bytes: about what the units take.

    withdrawn: uids in the inputs that were removed from one of the caches for good. completed: videos of which the
    target had a part. num_dropped: requests left out because frames that answer other requests answer them too.
    """

    videos: list[PlannedVideo] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    num_bytes: int = 0
    withdrawn: set[str] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    num_dropped: int = 0

    @property
    def num_rows(self) -> int:
        return sum(len(segment.frame_index) for unit in self.units for segment in unit.segments)


@dataclass(frozen=True)
class _Known:
    """Requests of a video and frames that answer some, sorted int64 arrays, that the target has or will have."""

    k: np.ndarray
    frames: np.ndarray

    @classmethod
    def of(cls, segments: Sequence[PlannedSegment]) -> "_Known":
        k, frames = ([getattr(segment, name) for segment in segments] for name in ("request_k", "frame_index"))
        return cls(np.unique(np.concatenate(k)), np.unique(np.concatenate(frames)))


def extension(inputs: Sequence[OpenCache], target: OpenCache | None, withdrawals: Withdrawals) -> Extension:
    """What to append. Each unit of it holds rows of one unit of one input."""
    made, planned = Extension(), {} if target is None else target.planned
    listed = set() if target is None else set(target.plan.videos)
    segments = {uid: list(of_video) for uid, of_video in planned.items()}
    number = 0 if target is None else target.plan.next_number
    for cache in inputs:
        shared = {uid: _Known.of(segments[uid]) for uid in cache.reader.video_uids if uid in segments}
        for name, record in sorted(cache.reader.records.items()):
            pieces, as_planned = [], {segment.video_uid: segment for segment in cache.plan.units[name].segments}
            for uid in record.video_uids:
                if withdrawals.has(uid, cache.plan.videos[uid].fingerprint):
                    made.withdrawn.add(uid)
                    continue
                piece = _lacking(as_planned[uid], shared.get(uid), made)
                if piece is not None:
                    pieces.append(piece)
                    segments.setdefault(uid, []).append(piece)
            if pieces:
                made.units.append(Unit(unit_name(number + len(made.units)), tuple(pieces)))
                rows = sum(len(piece.frame_index) for piece in pieces)
                made.num_bytes += record.num_bytes * rows // max(record.num_rows, 1)
    added = dict.fromkeys(segment.video_uid for unit in made.units for segment in unit.segments)
    made.completed = {uid for uid in added if uid in listed}
    made.videos = [_listed_video(uid, inputs) for uid in added if uid not in listed]
    return made


def _lacking(segment: PlannedSegment, known: _Known | None, made: Extension) -> PlannedSegment | None:
    """The requests of a segment that are new, or None. No frame that is a row already becomes another one."""
    if known is None:
        return segment
    is_new = find_sorted(segment.request_k, known.k) < 0
    has_row = segment.request_row >= 0
    is_answered = np.zeros(len(is_new), bool)
    frames = segment.frame_index[segment.request_row[has_row]]
    is_answered[has_row] = find_sorted(frames, known.frames) >= 0
    made.num_dropped += int((is_new & is_answered).sum())
    is_new &= ~is_answered
    return _with_requests(segment, is_new) if is_new.any() else None


def _with_requests(segment: PlannedSegment, chosen: np.ndarray) -> PlannedSegment:
    """The segment with some of its requests, (m,) bool, and the rows that answer those."""
    row = segment.request_row[chosen]
    rows = np.unique(row[row >= 0])
    return replace(
        segment,
        frame_index=segment.frame_index[rows],
        pts=segment.pts[rows],
        request_k=segment.request_k[chosen],
        request_row=np.where(row >= 0, np.searchsorted(rows, row), row),
    )


def _listed_video(uid: str, inputs: Sequence[OpenCache]) -> PlannedVideo:
    """A new video as the first input that has rows of it planned it, with as many requests as any of them planned."""
    holders = [cache for cache in inputs if uid in cache.committed_uids]
    counts = [max(cache.plan.videos[uid].num_requests, cache.num_planned(uid)) for cache in holders]
    return replace(holders[0].plan.videos[uid], num_requests=max(counts))
