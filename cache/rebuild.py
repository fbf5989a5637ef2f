"""Rebuilding a plan that is missing, damaged or older than the records, from what each record holds of it.

Works under the writer's lock. Parts and records that are whole stay as they are: parts that lack are written, damaged
ones are moved to `removed/` first.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from embedonce.cache import commit, documents
from embedonce.cache.errors import DamagedError, OtherVersionError, some
from embedonce.cache.files import list_folder, refuse_links
from embedonce.cache.layout import Layout, read_identity, require_cache
from embedonce.cache.plan import PlanIndex, PlannedVideo, PlanPart
from embedonce.cache.plan_age import last_clip_part
from embedonce.cache.planned_units import PlannedUnit, are_equal_units
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import read_planned, record_paths
from embedonce.cache.repair import Removal, take_out

MAX_EMPTY_PARTS = 1000  # nobody has made so many label sets over videos of which nothing was committed


@dataclass(frozen=True)
class Rebuild:
    """What is to be done about a plan, or was done.

    damaged: parts that cannot be read. parts: those to be written, in that order. unreadable: units whose records are
    damaged, so that nobody knows what was planned in them. incomplete: uids of videos that the plan will have only
    some of the requested times of; the next extraction scans them again. folder: where damaged parts went, or None.
    """

    damaged: tuple[Path, ...] = ()
    parts: tuple[PlanPart, ...] = ()
    unreadable: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    folder: Path | None = None
    is_done: bool = False

    @property
    def is_needed(self) -> bool:
        return bool(self.damaged or self.parts)


def rebuild_plan(root: Path, confirm: Callable[[Rebuild], bool] = lambda rebuild: True) -> Rebuild:
    """Restore the parts of the plan that the committed units of the cache in root come from, under the writer's lock.

    confirm: called with what would be done, if anything; where it returns False, nothing is changed. DamagedError, and
    nothing is changed, where records and plan contradict each other, or a unit was committed without a plan; BusyError
    while another process writes the cache; StorageError where something cannot be read.
    """
    layout = Layout(root)
    require_cache(root)
    with contextlib.closing(commit.Lock(layout.lock)):
        identity = read_identity(root)
        refuse_links(layout.folders)
        rebuild = _prepared(layout, _clip_parts(CacheReader(root, identity, {}), layout))
        if not rebuild.is_needed or not confirm(rebuild):
            return rebuild
        return replace(rebuild, folder=_done(layout, rebuild), is_done=True)


def _done(layout: Layout, rebuild: Rebuild) -> Path | None:
    """Write the parts, the last one first: until the first is there, a part is missing before another, which tells."""
    folder = None
    if rebuild.damaged:
        folder = take_out(layout, (Removal("the plan cannot be read", rebuild.damaged),))
    commit.make_folder(layout.plan)
    for part in rebuild.parts:
        path = _path(layout, part.part)
        commit.publish(path, documents.sealed(documents.plan_document(part), documents.plan_from, str(path)))
    return folder


def _path(layout: Layout, number: int) -> Path:
    return layout.plan / f"{number:06d}.json"


def _prepared(layout: Layout, num_clip_parts: int) -> Rebuild:
    whole, damaged = _parts_there(layout)
    draft = _Draft(whole)
    unreadable = []
    for path in record_paths(layout.columns(None)[1]):
        try:
            planned = read_planned(path)
        except OtherVersionError:
            raise
        except DamagedError:
            if path.stem not in draft.index.units:
                unreadable.append(path.stem)
            continue
        draft.take(planned, path)
    draft.refuse_unplanned()
    parts = draft.parts(num_clip_parts)
    everything = sorted([*whole.values(), *parts], key=lambda part: part.part)
    documents.check_parts(everything, str(layout.plan))
    incomplete = PlanIndex(everything).incomplete_uids() if parts else frozenset()
    return Rebuild(tuple(damaged), tuple(reversed(parts)), tuple(unreadable), tuple(sorted(incomplete)))


def _parts_there(layout: Layout) -> tuple[dict[int, PlanPart], list[Path]]:
    """(the parts that are whole by number, the files that are not)"""
    whole, damaged = {}, []
    for path in list_folder(layout.plan, ".json"):
        try:
            part = documents.plan_from(documents.read(path), str(path))
        except OtherVersionError:
            raise
        except DamagedError:
            damaged.append(path)
            continue
        if path != _path(layout, part.part):
            raise DamagedError(f"{path} is whole and holds part {part.part:06d} of the plan: give it its name back")
        whole[part.part] = part
    return whole, damaged


def _clip_parts(reader: CacheReader, layout: Layout) -> int:
    """How many parts of the plan the label sets have clips for, at least: of damaged ones only names are known."""
    count = 1 + last_clip_part(layout)
    for name in reader.label_sets():
        with contextlib.suppress(DamagedError):
            count = max(count, 1 + max(reader.clip_parts(name), default=-1))
    return count


@dataclass
class _Draft:
    """Parts put together from planned units. whole: parts that are there already."""

    whole: dict[int, PlanPart]
    index: PlanIndex = field(init=False)
    lacking: dict[int, list[PlannedUnit]] = field(default_factory=dict)  # by part; those of whole parts, too
    unplanned: list[str] = field(default_factory=list)

    def __post_init__(self):
        with documents.as_damaged_error("the plan"):
            self.index = PlanIndex(self.whole[number] for number in sorted(self.whole))

    def take(self, planned: PlannedUnit | None, path: Path) -> None:
        """One record's unit; path: of the record. DamagedError where the plan has it with other content."""
        there = self.index.units.get(path.stem)
        if planned is None:
            self.unplanned += [path.stem] if there is None else []
            return
        for video in planned.videos:
            _refuse_other(video, self.index.videos.setdefault(video.uid, video), path)
        if there is None:
            self.lacking.setdefault(planned.part, []).append(planned)
            return
        if not are_equal_units(there, planned.unit):
            raise DamagedError(f"{path} and the plan contradict each other on what unit {path.stem} is; {_UNCHANGED}")

    def refuse_unplanned(self) -> None:
        """DamagedError where a unit lacks whose record holds no plan."""
        if self.unplanned:
            raise DamagedError(
                f"the records of {len(self.unplanned)} units ({some(self.unplanned)}) do not say what was planned, so "
                f"that the plan cannot be rebuilt; {_UNCHANGED}"
            )

    def parts(self, least: int) -> list[PlanPart]:
        """The parts that lack, by number. least: how many there must be in all, empty ones between them included."""
        listed = {video.uid for part in self.whole.values() for video in part.videos}
        numbers = {*self.whole, *self.lacking}
        count = max(least, 1 + max(numbers, default=-1))
        if count - len(numbers) > MAX_EMPTY_PARTS:
            raise DamagedError(f"the plan would have {count - len(numbers)} parts without content; {_UNCHANGED}")
        new = [number for number in range(count) if number not in self.whole]
        made = [_part(number, self.lacking.get(number, []), listed) for number in new]
        late = [unit for number in sorted(self.whole) for unit in self.lacking.get(number, [])]
        return [*made, _part(count, late, listed)] if late else made


_UNCHANGED = "nothing was changed; keep the cache aside and extract into another --cache-dir"


def _refuse_other(video: PlannedVideo, known: PlannedVideo, path: Path) -> None:
    if documents.video_document(video) != documents.video_document(known):
        raise DamagedError(f"{path} was planned for another {video.uid} than the rest of the cache; {_UNCHANGED}")


def _part(number: int, units: list[PlannedUnit], listed: set[str]) -> PlanPart:
    """A part of these units. listed: uids of videos that other parts have; those of this one are added."""
    needed = {video.uid: video for planned in units for video in planned.videos}
    videos = tuple(video for uid, video in needed.items() if uid not in listed)
    continued = tuple(uid for uid in needed if uid in listed)
    listed.update(needed)
    return PlanPart(number, videos, tuple(planned.unit for planned in units), continued)
