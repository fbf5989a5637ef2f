"""Which videos are whole when several caches are put together, and what becomes of entries in quarantine.

Pure functions: nothing is read or written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.cache.merging.inputs import OpenCache
from embedonce.cache.merging.withdrawals import Withdrawals
from embedonce.cache.quarantine import QuarantinedVideo


@dataclass(frozen=True)
class QuarantineChanges:
    """carried: entries that the target gets. released: names that leave its quarantine, because they are whole now.

    blocked: names that stay although the inputs have them whole: the target has finished shards without them.
    """

    carried: dict[str, QuarantinedVideo]
    released: tuple[str, ...]
    blocked: tuple[str, ...]


def is_whole(uid: str, caches: Sequence[OpenCache]) -> bool:
    """Whether these caches together have committed every request of a video that one of them has planned."""
    holders = [cache for cache in caches if uid in cache.committed_uids]
    if not holders:
        return False
    committed = np.unique(np.concatenate([cache.answers(uid).k for cache in holders]))
    planned = [cache for cache in caches if uid in cache.plan.videos]
    if any(not np.isin(cache.planned_frames(uid)[0], committed).all() for cache in planned):
        return False
    return len(committed) >= max(cache.plan.videos[uid].num_requests for cache in planned)


def quarantine_changes(
    inputs: Sequence[OpenCache], target: OpenCache | None, withdrawals: Withdrawals
) -> QuarantineChanges:
    """A video that is whole leaves quarantine; other entries are kept, and carried over from the inputs."""
    caches, carried = [*inputs] if target is None else [target, *inputs], {}
    known = {} if target is None else {**target.plan.videos, **target.quarantined}
    for cache in inputs:
        for name, entry in cache.quarantined.items():
            if name not in known and name not in carried and not withdrawals.has(name) and not is_whole(name, caches):
                carried[name] = entry
    whole = [name for name in (target.quarantined if target is not None else ()) if is_whole(name, caches)]
    blocked = tuple(name for name in whole if target is not None and _was_left_out(name, target))
    return QuarantineChanges(carried, tuple(name for name in whole if name not in blocked), blocked)


def _was_left_out(uid: str, target: OpenCache) -> bool:
    """Whether the target has committed a unit without the rows of a video that were planned in it."""
    pending = sum(len(s.request_k) for unit in target.pending_units for s in unit.segments if s.video_uid == uid)
    return len(target.answers(uid).k) + pending < target.num_planned(uid)


def pending_videos(inputs: Sequence[OpenCache], target: OpenCache | None, withdrawals: Withdrawals) -> tuple[str, ...]:
    """Videos of the inputs that are not extracted yet, or only in part, and that no other cache completes."""
    caches = [*inputs] if target is None else [target, *inputs]
    quarantined = {name for cache in caches for name in cache.quarantined}
    candidates = {
        segment.video_uid: cache for cache in inputs for unit in cache.pending_units for segment in unit.segments
    }
    return tuple(
        uid
        for uid, cache in candidates.items()
        if uid not in quarantined
        and not withdrawals.has(uid, cache.plan.videos[uid].fingerprint)
        and not is_whole(uid, caches)
    )
