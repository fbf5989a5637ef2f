"""The caches of a merge, open for reading, and what must be true of them before anything else is looked at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from embedonce.cache.convert import refuse_interrupted
from embedonce.cache.errors import CacheError, DamagedError, IdentityMismatchError, some
from embedonce.cache.identity_document import differences
from embedonce.cache.layout import Layout
from embedonce.cache.merging.answers import Answers, answers_of
from embedonce.cache.plan import PlanIndex, PlannedSegment, Unit
from embedonce.cache.plausibility import plan_problems, record_problems
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.store import open_reader
from embedonce.cache.stores.base import Store
from embedonce.cache.verify_units import plan_contradictions
from embedonce.cache.withdrawn import WithdrawnVideo, withdrawn_by_file

KEPT_ANSWERS = 4096  # videos whose answers an open cache keeps in memory


class MergeArgumentError(CacheError, ValueError):
    """These caches cannot be the arguments of one merge."""

    exit_code = 2


class MergeConflictError(CacheError, ValueError):
    """Two caches have different content under the same name."""


@dataclass(frozen=True, eq=False)
class OpenCache:
    """One cache of a merge. plan: its videos and units, which may be more than reader has records of.

    quarantined: name -> video. withdrawn: name of its document -> video that was removed for good.
    """

    reader: CacheReader
    plan: PlanIndex
    quarantined: dict[str, QuarantinedVideo]
    withdrawn: dict[str, WithdrawnVideo]

    @classmethod
    def of(cls, reader: CacheReader) -> "OpenCache":
        """The cache of a reader. CacheError if it has units that were never planned."""
        layout = Layout(reader.store)
        plan = PlanIndex(reader.plan())
        if unknown := [unit for unit in reader.records if unit not in plan.units]:
            raise CacheError(
                f"{reader.cache_dir} has units that are in no plan ({some(unknown)}), so it cannot be merged; "
                "convert-cache can copy it"
            )
        return cls(reader, plan, reader.quarantined(), withdrawn_by_file(layout))

    @property
    def name(self) -> str:
        """Its folder or URL, for messages."""
        return str(self.reader.cache_dir)

    @cached_property
    def planned(self) -> dict[str, list[PlannedSegment]]:
        """uid -> planned segments, committed or not, in order of units."""
        segments: dict[str, list[PlannedSegment]] = {}
        for unit in self.plan.units.values():
            for segment in unit.segments:
                segments.setdefault(segment.video_uid, []).append(segment)
        return segments

    @cached_property
    def committed_uids(self) -> frozenset[str]:
        """Videos that have committed segments."""
        return frozenset(self.reader.video_uids)

    @property
    def pending_units(self) -> list[Unit]:
        """Planned units that are not committed."""
        return [unit for name, unit in self.plan.units.items() if name not in self.reader.records]

    def num_planned(self, uid: str) -> int:
        """How many times of a video are requested, committed or not."""
        return sum(len(segment.request_k) for segment in self.planned.get(uid, ()))

    @cached_property
    def _kept_answers(self) -> dict[str, Answers]:
        return {}

    def answers(self, uid: str) -> Answers:
        """What was committed for the requests of a video; nothing if it has no segments."""
        kept = self._kept_answers
        if uid not in kept:
            if len(kept) >= KEPT_ANSWERS:
                kept.clear()
            kept[uid] = answers_of(self.reader.segments_of(uid) if uid in self.committed_uids else [])
        return kept[uid]

    def planned_frames(self, uid: str) -> tuple[np.ndarray, np.ndarray]:
        """(requests, frame index that answers each or a negative code), (m,) int64 both, in order of requests."""
        segments = self.planned.get(uid, ())
        nothing = np.zeros(0, np.int64)
        k = np.concatenate([nothing, *(segment.request_k for segment in segments)])
        frames = np.concatenate([nothing, *map(_frames, segments)])
        order = np.argsort(k, kind="stable")
        return k[order], frames[order]


def _frames(segment: PlannedSegment) -> np.ndarray:
    """The frame index that answers each request, (m,) int64; NO_FRAME, REDACTED or LOST where there is none."""
    frames = segment.request_row.copy()
    has_row = frames >= 0
    frames[has_row] = segment.frame_index[frames[has_row]]
    return frames


def check_arguments(stores: Sequence[Store], target: Store) -> None:
    """MergeArgumentError if an input is the target, in it or around it, or is given twice."""
    for number, store in enumerate(stores):
        place = store.location("")
        if target.is_within(store) or store.is_within(target):
            raise MergeArgumentError(
                f"{place} cannot be merged into {target.location('')}: they are the same folder, or one is inside the "
                "other"
            )
        for other in stores[:number]:
            if store.is_within(other) and other.is_within(store):
                raise MergeArgumentError(f"{place} is given twice ({other.location('')}); give it once")


def open_input(store: Store) -> OpenCache:
    """An input of a merge. CacheError if it has an interrupted removal; DamagedError if its documents are damaged."""
    refuse_interrupted(store)
    cache = OpenCache.of(open_reader(store))
    for problem in _contradictions(cache):
        raise DamagedError(f"{cache.name}: {problem}")
    return cache


def _contradictions(cache: OpenCache) -> Iterator[str]:
    """What is impossible in the plan and the records of a cache, although their checksums are right."""
    identity, videos = cache.reader.identity, cache.plan.videos
    yield from (f"part {part} of the plan: {problem}" for part, problem in plan_problems(cache.reader.plan(), identity))
    for unit, record in cache.reader.records.items():
        found = [*record_problems(record, videos, identity), *plan_contradictions(record, cache.plan.units[unit], None)]
        others = [s.video_uid for s in record.segments if s.fingerprint != videos[s.video_uid].fingerprint]
        found += [f"the rows of {uid} come from another file than the one that was planned" for uid in others]
        yield from (f"unit {unit}: {problem}" for problem in found)


def check_identities(identities: Sequence[tuple[str, CacheIdentity]]) -> None:
    """IdentityMismatchError, which names all differences, if (name of a cache, identity) are not all the same.

    Back ends may differ.
    """
    name, first = identities[0]
    for other, identity in identities[1:]:
        if differing := differences(replace(identity, backend=first.backend), first):
            raise IdentityMismatchError(
                f"{other} cannot be merged with {name}: they were made with other settings ({name} -> {other}): "
                f"{'; '.join(differing)}. Nothing was changed"
            )
