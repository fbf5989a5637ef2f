"""Extending the plan of a cache, alone or beside other writers.

Parts are numbered in the order in which they are published. Whoever finds the next number taken reads what the other
writer has planned, leaves that out, and tries the number after it: so no video is planned twice, and no two units have
one name.
"""

import threading
from collections.abc import Collection

import numpy as np

from embedonce.cache import documents
from embedonce.cache.catalog import Catalog
from embedonce.cache.errors import AlreadyCommittedError, IdentityMismatchError, some
from embedonce.cache.plan import PlanIndex, PlannedSegment, PlannedVideo, PlanPart, Unit, unit_name
from embedonce.cache.plan_age import last_clip_part, refuse_older
from embedonce.cache.plan_documents import plan_document, plan_from, read_part
from embedonce.cache.plan_parts import cut_parts
from embedonce.cache.planned_units import PlannedUnit, planned_in
from embedonce.cache.records import record_paths


class PlanWriter:
    """The plan of one cache, whose lock the caller holds. parts: all that are known; the list grows.

    is_shared: others may extend the plan meanwhile.
    """

    def __init__(self, catalog: Catalog, is_shared: bool):
        self._layout, self._catalog, self._is_shared = catalog.layout, catalog, is_shared
        self.parts: list[PlanPart] = catalog.plan()
        self.index = PlanIndex(self.parts)
        self._changing = threading.RLock()  # units may be committed from several threads

    def planned(self, unit: str) -> PlannedUnit | None:
        """A unit as it was planned, by whomever; None if it was not."""
        if self._is_shared and unit not in self.index.units:
            self.refresh()
        return planned_in(self.index, unit)

    def refresh(self) -> None:
        """Read the parts that others have published since."""
        with self._changing:
            self._read_new_parts()

    def _read_new_parts(self) -> None:
        while (path := self._layout.plan_part(len(self.parts))).exists():
            part = read_part(path)
            with documents.as_damaged_error(str(path)):
                if unknown := [uid for uid in part.continued if uid not in self.index.videos]:
                    raise ValueError(f"it continues videos that are in no part of the plan: {some(unknown)}")
                if part.part != len(self.parts):
                    raise ValueError(f"it is part {part.part} of the plan")
                self._add(part)

    def check(self) -> None:
        """DamagedError if the plan lacks committed units: new ones would take their names."""
        last_part = last_clip_part(self._layout)
        committed = {path.stem for path in record_paths(self._layout.frame_paths().records)}
        if self._is_shared:
            self.refresh()  # after what was committed: a writer plans before it commits
        refuse_older(self._layout, len(self.parts), committed - set(self.index.units), last_part)

    def append(self, videos: list[PlannedVideo], units: tuple[Unit, ...]) -> tuple[Unit, ...]:
        """Append videos, and units of these videos or of planned ones; returns the units as they were appended.

        units: named by the numbers that follow those of the plan; numbered anew, and without what others have planned,
        if others have extended the plan.
        """
        self.check()
        own: set[str] = set()
        appended: list[Unit] = []
        while True:
            if self._is_shared:
                videos, units = self._left(videos, units, own)
            for part in cut_parts(len(self.parts), videos, units):
                if not self.publish(part):
                    break
                appended += part.units
                units = units[len(part.units) :]
                own |= {video.uid for video in part.videos}
            else:
                return tuple(appended)

    def copy(self, plan: list[PlanPart]) -> None:
        """Append the missing parts of a plan. IdentityMismatchError if the existing parts differ from it."""
        for ours, theirs in zip(self.parts, plan, strict=False):
            if plan_document(ours) != plan_document(theirs):
                raise IdentityMismatchError(f"{self._layout.root} has another plan; choose another folder")
        for part in plan[len(self.parts) :]:
            self.publish(part)

    def publish(self, part: PlanPart) -> bool:
        """Publish the next part of the plan. False, and those of others are read, if one of these has its number."""
        path = self._layout.plan_part(part.part)
        data = documents.serialize_verified(plan_document(part), plan_from, str(path))
        with self._changing:
            try:
                path.put_if_absent(data)
            except AlreadyCommittedError:
                if not self._is_shared:
                    raise
                self._read_new_parts()
                return False
            self._add(part)
            return True

    def _add(self, part: PlanPart) -> None:
        self.index.add(part)
        self.parts.append(part)
        self._catalog.add_part(part)

    def _left(
        self, videos: list[PlannedVideo], units: tuple[Unit, ...], own: Collection[str]
    ) -> tuple[list[PlannedVideo], tuple[Unit, ...]]:
        """What is not planned yet, in units whose numbers follow those of the plan. own: uids that we have listed."""
        planned = self.index.videos
        theirs = {video.uid for video in videos if video.uid in planned and video.uid not in own}
        continued = {segment.video_uid for unit in units for segment in unit.segments} & planned.keys()
        times = self._planned_times(continued - theirs)

        def is_left(segment: PlannedSegment) -> bool:
            uid = segment.video_uid
            return uid not in theirs and not (uid in times and np.isin(segment.request_k, times[uid]).any())

        kept = (tuple(filter(is_left, unit.segments)) for unit in units)
        first = self.index.next_number
        named = (Unit(unit_name(first + i), segments) for i, segments in enumerate(filter(None, kept)))
        return [video for video in videos if video.uid not in planned], tuple(named)

    def _planned_times(self, uids: Collection[str]) -> dict[str, np.ndarray]:
        """uid -> int64 of all planned requests of a video."""
        found: dict[str, list[np.ndarray]] = {uid: [] for uid in uids}
        for segment in (segment for unit in self.index.units.values() for segment in unit.segments) if uids else ():
            if segment.video_uid in found:
                found[segment.video_uid].append(segment.request_k)
        return {uid: np.concatenate([np.zeros(0, np.int64), *times]) for uid, times in found.items()}
