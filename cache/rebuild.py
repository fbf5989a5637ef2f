"""Rebuilding a plan that is missing, damaged or older than the records, from the records.

Works under the writer's lock. Intact parts and records stay as they are; damaged parts are moved to `removed/`, and
then the missing ones are written.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from embedonce.cache import documents, plan_parts
from embedonce.cache.errors import DamagedError, OtherVersionError, some
from embedonce.cache.layout import LOCK, Layout, read_identity, require_cache
from embedonce.cache.plan import PlanIndex, PlannedVideo, PlanPart
from embedonce.cache.plan_age import last_clip_part
from embedonce.cache.plan_documents import check_parts, plan_document, plan_from, video_document
from embedonce.cache.planned_units import PlannedUnit, are_equal_units
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import read_planned, record_paths
from embedonce.cache.repair import Removal, take_out
from embedonce.cache.stores.registry import Location
from embedonce.cache.stores.stored_path import StoredPath

PART_BYTES = 3 * plan_parts.PART_BYTES  # of a rebuilt part, which also has videos that were listed in lost parts
MAX_EMPTY_PARTS = 1000  # more than any real cache has: parts with clips and without any committed unit


@dataclass(frozen=True)
class Rebuild:
    """The changes that a rebuild will make, or has made, to a plan.

    damaged: parts that cannot be read. parts: parts to write, in this order. unreadable: units whose records are
    damaged, so that their plan is unknown. incomplete: uids of videos of which the plan will have only some of the
    requests; the next extraction scans them again. folder: where damaged parts were moved to, or None.
    """

    damaged: tuple[StoredPath, ...] = ()
    parts: tuple[PlanPart, ...] = ()
    unreadable: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    folder: StoredPath | None = None
    is_done: bool = False

    @property
    def is_needed(self) -> bool:
        return bool(self.damaged or self.parts)


def rebuild_plan(where: Location, confirm: Callable[[Rebuild], bool] = lambda rebuild: True) -> Rebuild:
    """Restore the plan parts of all committed units of the cache at a location, under the writer's lock.

    confirm: called with the changes, if there are any; if it returns False, nothing is changed. DamagedError, and
    nothing is changed, if records and plan contradict each other, or a unit was committed without a plan; BusyError
    while another process writes the cache; StorageError if something cannot be read.
    """
    layout = require_cache(where)
    with contextlib.closing(layout.store.lock(LOCK)):
        identity = read_identity(layout.store)
        layout.refuse_links()
        rebuild = _prepare(layout, _num_clip_parts(CacheReader(layout.store, identity, {}), layout))
        if not rebuild.is_needed or not confirm(rebuild):
            return rebuild
        return replace(rebuild, folder=_write(layout, rebuild), is_done=True)


def _write(layout: Layout, rebuild: Rebuild) -> StoredPath | None:
    """Write the parts, the last one first: the gap that an interrupted rebuild leaves shows that it is incomplete."""
    folder = None
    if rebuild.damaged:
        folder = take_out(layout, (Removal("the plan cannot be read", rebuild.damaged),))
    layout.plan.make_folder()
    for part in rebuild.parts:
        path = layout.plan_part(part.part)
        path.put_if_absent(documents.serialize_verified(plan_document(part), plan_from, str(path)))
    return folder


def _prepare(layout: Layout, num_clip_parts: int) -> Rebuild:
    intact, damaged = _existing_parts(layout)
    draft = _Draft(intact)
    unreadable = []
    for path in record_paths(layout.frame_paths().records):
        try:
            planned = read_planned(path)
        except OtherVersionError:
            raise
        except DamagedError:
            if path.stem not in draft.index.units:
                unreadable.append(path.stem)
            continue
        draft.add(planned, path)
    draft.refuse_unplanned()
    parts = draft.parts(num_clip_parts)
    everything = sorted([*intact.values(), *parts], key=lambda part: part.part)
    check_parts(everything, str(layout.plan))
    incomplete = PlanIndex(everything).incomplete_uids() if parts else frozenset()
    return Rebuild(tuple(damaged), tuple(reversed(parts)), tuple(unreadable), tuple(sorted(incomplete)))


def _existing_parts(layout: Layout) -> tuple[dict[int, PlanPart], list[StoredPath]]:
    """(number -> intact part, files of damaged parts)"""
    intact, damaged = {}, []
    for path in layout.plan.list(".json"):
        try:
            part = plan_from(documents.read(path), str(path))
        except OtherVersionError:
            raise
        except DamagedError:
            damaged.append(path)
            continue
        if path != layout.plan_part(part.part):
            raise DamagedError(f"{path} holds part {part.part:06d} of the plan: rename it to {part.part:06d}.json")
        intact[part.part] = part
    return intact, damaged


def _num_clip_parts(reader: CacheReader, layout: Layout) -> int:
    """How many plan parts the label sets have clips for. Of damaged clip lists only the names count."""
    count = 1 + last_clip_part(layout)
    for name in reader.label_sets():
        with contextlib.suppress(DamagedError):
            count = max(count, 1 + max(reader.clip_parts(name), default=-1))
    return count


@dataclass
class _Draft:
    """Parts put together from planned units.

    intact: existing parts by number. missing: units that the plan lacks by part, also those of intact parts. unplanned:
    missing units whose records hold no plan.
    """

    intact: dict[int, PlanPart]
    index: PlanIndex = field(init=False)
    missing: dict[int, list[PlannedUnit]] = field(default_factory=dict)
    unplanned: list[str] = field(default_factory=list)

    def __post_init__(self):
        with documents.as_damaged_error("the plan"):
            self.index = PlanIndex(self.intact[number] for number in sorted(self.intact))

    def add(self, planned: PlannedUnit | None, path: StoredPath) -> None:
        """Add the unit of one record. path: of the record. DamagedError if the plan has it with other content."""
        existing = self.index.units.get(path.stem)
        if planned is None:
            self.unplanned += [path.stem] if existing is None else []
            return
        for video in planned.videos:
            _refuse_other(video, self.index.videos.setdefault(video.uid, video), path)
        if existing is None:
            self.missing.setdefault(planned.part, []).append(planned)
            return
        if not are_equal_units(existing, planned.unit):
            raise DamagedError(f"{path} and the plan disagree about the contents of unit {path.stem}; {_UNCHANGED}")

    def refuse_unplanned(self) -> None:
        """DamagedError if the plan lacks a unit whose record does not hold its plan."""
        if self.unplanned:
            raise DamagedError(
                f"the plan cannot be rebuilt: the records of {len(self.unplanned)} units ({some(self.unplanned)}) do "
                f"not include their part of the plan; {_UNCHANGED}"
            )

    def parts(self, least: int) -> list[PlanPart]:
        """The missing parts, in order. least: how many parts the plan must have, empty ones included."""
        listed = {video.uid for part in self.intact.values() for video in part.videos}
        numbers = {*self.intact, *self.missing}
        count = max(least, 1 + max(numbers, default=-1))
        if count - len(numbers) > MAX_EMPTY_PARTS:
            raise DamagedError(f"the plan would have {count - len(numbers)} empty parts; {_UNCHANGED}")
        made, late = [], []
        for number in (number for number in range(count) if number not in self.intact):
            first, *others = _cut(number, self.missing.get(number, []), listed) or [PlanPart(number, (), ())]
            made.append(first)
            late += others
        units = [unit for number in sorted(self.intact) for unit in self.missing.get(number, [])]
        late += _cut(count, units, listed)
        return [*made, *(replace(part, part=count + i) for i, part in enumerate(late))]


_UNCHANGED = "nothing was changed; back up the cache and extract into another --cache-dir"


def _refuse_other(video: PlannedVideo, known: PlannedVideo, path: StoredPath) -> None:
    if video_document(video) != video_document(known):
        raise DamagedError(f"{path} describes video {video.uid} differently from the rest of the cache; {_UNCHANGED}")


def _cut(number: int, units: list[PlannedUnit], listed: set[str]) -> list[PlanPart]:
    """Parts of these units, from this number on; more than one if a document would be too long.

    listed: uids of the videos of other parts, to which those of these parts are added.
    """
    needed = {video.uid: video for planned in units for video in planned.videos}
    videos = [video for uid, video in needed.items() if uid not in listed]
    listed.update(needed)
    return list(plan_parts.cut_parts(number, videos, tuple(planned.unit for planned in units), PART_BYTES))
