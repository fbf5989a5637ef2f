"""Removing videos, a label set or an added teacher from a cache, in steps that survive a kill.

After a kill, the old state or the new one remains. What a removal will do is found first, and shown to whoever confirms
it. A removal that was begun is finished by the next command that writes the cache.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from embedonce.cache import long_documents
from embedonce.cache.added_teachers.documents import refuse_lost_document
from embedonce.cache.completeness import LABEL_SET_FOLDERS
from embedonce.cache.errors import CacheError, DamagedError, LabelSetError, TeacherError, some
from embedonce.cache.label_set_reader import revision_from
from embedonce.cache.layout import LOCK, Layout, read_identity, require_cache
from embedonce.cache.plan import PlanIndex, unit_name
from embedonce.cache.plan_age import last_clip_part, refuse_older
from embedonce.cache.reader import CacheReader
from embedonce.cache.remaining import unit_without, versions_of
from embedonce.cache.removal_document import Removal, begin_removal, read_removal
from embedonce.cache.removal_steps import OnProgress, finish_removal
from embedonce.cache.repair import removed_files
from embedonce.cache.stores.registry import Location
from embedonce.cache.withdrawn import is_withdrawn


class UnknownVideoError(CacheError, LookupError):
    """The cache has no video of this uid."""

    exit_code = 2


@dataclass(frozen=True)
class RemovedVideo:
    """What a cache has of one video. source: path in the data folder; reason: why it is in quarantine, if it is."""

    uid: str
    source: str
    num_rows: int = 0
    num_units: int = 0
    num_clips: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RemovalSummary:
    """What a removal will do, or has done.

    videos: those that are removed, by uid. gone: uids that were withdrawn before. label_sets: name -> shards of
    logits; teachers: name -> shards of embeddings. num_rewritten, num_bytes: units that are written again for their
    other videos, and the size of their frame shards. num_moved: files in removed/, which are deleted, too. interrupted:
    an earlier removal that is finished first. is_done: whether it was confirmed and done.
    """

    removal: Removal
    videos: tuple[RemovedVideo, ...] = ()
    gone: tuple[str, ...] = ()
    label_sets: tuple[tuple[str, int], ...] = ()
    teachers: tuple[tuple[str, int], ...] = ()
    num_rewritten: int = 0
    num_bytes: int = 0
    num_moved: int = 0
    interrupted: Removal | None = None
    is_done: bool = False

    @property
    def is_needed(self) -> bool:
        return bool(self.removal.videos or self.removal.label_sets or self.removal.teachers)


Prepare = Callable[[Layout, Removal], RemovalSummary]  # the removal that was interrupted and is finished now, or empty


def videos_removal(uids: Iterable[str], *, is_withdrawal: bool) -> Prepare:
    """The removal of videos, for planned() and remove().

    is_withdrawal: extraction leaves the videos out from now on; else it extracts them again.
    """
    wanted = tuple(dict.fromkeys(uids))
    return lambda layout, finished: _VideosInCache(layout).summary(wanted, is_withdrawal)


def label_set_removal(name: str) -> Prepare:
    """The removal of a label set, for planned() and remove()."""

    def prepare(layout: Layout, finished: Removal) -> RemovalSummary:
        if name in finished.label_sets:
            return RemovalSummary(finished, is_done=True)
        if name not in layout.label_sets():
            known = ", ".join(layout.label_sets()) or "none"
            raise LabelSetError(f"{layout.root} has no label set {name!r} (it has: {known})")
        shards = len(layout.logit_paths(name).records.list(".json"))
        return RemovalSummary(Removal(label_sets=(name,)), label_sets=((name, shards),))

    return prepare


def teacher_removal(name: str) -> Prepare:
    """The removal of an added teacher, for planned() and remove()."""

    def prepare(layout: Layout, finished: Removal) -> RemovalSummary:
        if name in finished.teachers:
            return RemovalSummary(finished, is_done=True)
        if name not in layout.added_teachers():
            known = ", ".join(layout.added_teachers()) or "none"
            raise TeacherError(f"{layout.root} has no added teacher {name!r} (it has: {known})")
        shards = len(layout.teacher_paths(name).records.list(".json"))
        return RemovalSummary(Removal(teachers=(name,)), teachers=((name, shards),))

    return prepare


def planned(where: Location, prepare: Prepare) -> RemovalSummary:
    """What a removal would do; writes nothing and takes no lock. Errors as in remove()."""
    layout = require_cache(where)
    layout.refuse_links()
    interrupted = read_removal(layout)
    if interrupted is not None:
        return RemovalSummary(Removal(), interrupted=interrupted)
    return prepare(layout, Removal())


def remove(
    where: Location,
    prepare: Prepare,
    confirm: Callable[[RemovalSummary], bool] = lambda summary: True,
    on_progress: OnProgress = lambda: None,
) -> RemovalSummary:
    """Remove something from the cache at a location, under the writer's lock. on_progress: called after each unit.

    An interrupted removal is finished first. confirm: called with what will be done; if it returns False, nothing is
    changed. UnknownVideoError, LabelSetError or TeacherError for something that the cache does not have; DamagedError,
    before anything is changed, if a shard that must be written again is damaged; BusyError while another process
    writes.
    """
    layout = require_cache(where)
    with contextlib.closing(layout.store.lock(LOCK)) as lock:
        identity = read_identity(layout.store)
        layout.refuse_links()
        layout.refuse_teacher_links()
        layout.recover()
        finished = finish_removal(layout, identity, lock)
        summary = prepare(layout, finished or Removal())
        if summary.is_done or not summary.is_needed or not confirm(summary):
            return summary
        begin_removal(layout, summary.removal)
        finish_removal(layout, identity, lock, on_progress)
        return replace(summary, is_done=True)


class _VideosInCache:
    """Finds everything that a cache has of some videos. DamagedError if anything that matters cannot be read."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._reader = CacheReader(layout.store, read_identity(layout.store))
        self._plan = self._reader.plan()
        self._index = PlanIndex(self._plan)
        self._entries = {**self._reader.catalog.attempts(), **self._reader.quarantined()}
        lacking = set(self._reader.records) - set(self._index.units)
        refuse_older(layout, len(self._plan), lacking, last_clip_part(layout))

    def summary(self, wanted: tuple[str, ...], is_withdrawal: bool) -> RemovalSummary:
        """What removing these videos does."""
        known = [uid for uid in wanted if uid in self._index.videos or uid in self._entries]
        gone = tuple(uid for uid in wanted if uid not in known and is_withdrawn(self._layout, uid))
        if unknown := [uid for uid in wanted if uid not in known and uid not in gone]:
            raise UnknownVideoError(self._unknown(unknown))
        names = self._names(known)
        units = self._units(names)
        self._verify([old for old, _ in units])
        new = [old for old, name in units if name and old in self._reader.records]
        withdrawn_again = () if is_withdrawal else gone  # which extraction may bring back
        return RemovalSummary(
            Removal((*names, *withdrawn_again), units, (), is_withdrawal),
            tuple(self._video(name) for name in names),
            gone,
            num_rewritten=len(new),
            num_bytes=sum(self._reader.records[unit].num_bytes for unit in new),
            num_moved=len(removed_files(self._layout.store)),
        )

    def _unknown(self, unknown: list[str]) -> str:
        parts = [uid for uid in self._index.videos if any(uid.startswith(f"{name}__") for name in unknown)]
        hint = f"; did you mean {some(parts)}?" if parts else ""
        return (
            f"{self._layout.root} has no video {some(map(repr, unknown))}{hint}; nothing was changed. The uid of a "
            "video is its escaped path in the data folder, such as a_2Emp4 for a.mp4"
        )

    def _names(self, known: list[str]) -> tuple[str, ...]:
        """The videos, their other versions, and entries in quarantine of the same files."""
        videos = versions_of(self._plan, known)
        sources = {video.source for video in videos.values()}
        quarantined = self._reader.quarantined()
        sources |= {quarantined[name].source for name in known if name in quarantined}
        same = [
            name for name, entry in quarantined.items() if entry.source in sources and name not in self._index.videos
        ]
        return tuple(dict.fromkeys([*videos, *known, *same]))

    def _units(self, names: Collection[str]) -> tuple[tuple[str, str], ...]:
        """(unit, the unit that replaces it, or empty) of all units with one of these videos."""
        number, pairs = self._index.next_number, []
        for unit in self._index.units.values():
            rest = unit_without(unit, unit.name, names).segments
            if len(rest) == len(unit.segments):
                continue
            pairs.append((unit.name, unit_name(number) if rest else ""))
            number += bool(rest)
        return tuple(pairs)

    def _verify(self, units: list[str]) -> None:
        """DamagedError if something that will be written again is damaged, before anything is changed."""
        reader, labels = self._reader, self._layout.labels
        for folder in labels.list():
            inner = [path for name in LABEL_SET_FOLDERS for path in (folder / name).list()]
            if inner and not self._layout.has_label_set(folder.name):
                raise DamagedError(f"{folder} has lost its label_set.json: restore it, or delete the folder")
        for folder in (path for path in self._layout.teachers.list() if path.is_folder()):
            refuse_lost_document(self._layout, folder.name)
        for name in reader.label_sets():
            reader.label_set(name)
            reader.texts(name).check()
            for path in (labels / name / "revisions").list(".json")[:-1]:  # the last one was read with the label set
                revision_from(long_documents.read(path), str(path))
        for unit in (unit for unit in units if unit in reader.records):
            if reader.records[unit].num_rows:
                reader.frames(unit)
                for name in reader.label_sets():
                    if unit in reader.label_records(name):
                        reader.logits(name, unit)
                for name in reader.teachers.names():
                    if unit in reader.teachers.records(name):
                        reader.teachers.column(name, unit)
        reader.close()

    def _video(self, name: str) -> RemovedVideo:
        segments = self._reader.segments_of(name) if name in self._reader.video_uids else []
        planned, entry = self._index.videos.get(name), self._reader.quarantined().get(name)
        source = planned.source if planned is not None else entry.source if entry is not None else name
        rows = sum(segment.num_rows for _, _, segment in segments)
        clips = (clip for labels in self._reader.label_sets() for clip in self._reader.label_set(labels).clips)
        num_clips = sum(clip.video_uid == name for clip in clips)
        return RemovedVideo(name, source, rows, len(segments), num_clips, "" if entry is None else entry.reason)
