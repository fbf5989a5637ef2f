"""Repairing a damaged cache: damaged files are moved to `removed/`, and the next extraction makes them again.

Verifies under the writer's lock. Files that are not proven to be damaged stay where they are; moved files stay in
`removed/` until they are purged.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from embedonce.cache import manifest
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import DamagedError, some
from embedonce.cache.layout import LOCK, Column, Layout, TeacherColumn, continued_folder, read_identity, require_cache
from embedonce.cache.stores.registry import Location
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.verify import OnProgress, Replay, verify
from embedonce.cache.verify_report import Problem, Remedy, Report

_REMOVED = (Remedy.REDO_UNIT, Remedy.REDO_LOGITS, Remedy.REDO_COLUMN, Remedy.REDO_TEXTS, Remedy.FORGET)


@dataclass(frozen=True)
class Removal:
    """Files to move away, in this order, and why."""

    reason: str
    files: tuple[StoredPath, ...]


@dataclass(frozen=True)
class Repair:
    """The verification, the removals, and the folder that files were moved to (None if nothing was changed)."""

    report: Report
    removals: tuple[Removal, ...]
    folder: StoredPath | None


def repair(
    where: Location,
    replay: Replay | None,
    confirm: Callable[[Report, tuple[Removal, ...]], bool] = lambda report, removals: True,
    on_progress: OnProgress = lambda num_shards: None,
) -> Repair:
    """Verify the cache at a location and move damaged files away, all under the writer's lock.

    replay, on_progress: as in verify(). confirm: called with the report and the removals; if it returns False, nothing
    is changed. DamagedError, and nothing is changed, if the identity, the plan or a label set itself is damaged;
    BusyError while another process writes the cache; StorageError if something cannot be read.
    """
    layout = require_cache(where)
    with contextlib.closing(layout.store.lock(LOCK)):
        report = verify(layout.store, replay, on_progress)
        _refuse_irreparable(report)
        layout.refuse_teacher_links()  # nothing behind one is moved
        removals = _removals(layout, BACKENDS[read_identity(layout.store).backend].suffix, report)
        if not removals or not confirm(report, removals):
            return Repair(report, removals, None)
        return Repair(report, removals, take_out(layout, removals))


def removed_files(where: Location) -> tuple[StoredPath, ...]:
    """The files that earlier repairs moved away. StorageError if they cannot be listed, DamagedError behind a link."""
    layout = Layout.at(where)
    layout.refuse_links((layout.removed,))
    return tuple(_files_below(layout.removed))


def num_bytes_of(path: StoredPath) -> int:
    """Bytes of a file; 0 of a link or device, which holds none."""
    try:
        return path.version().num_bytes
    except DamagedError:
        return 0


def purge(where: Location) -> None:
    """Delete the files that earlier repairs moved away. BusyError while another process writes the cache."""
    layout = require_cache(where)
    with contextlib.closing(layout.store.lock(LOCK)):
        layout.refuse_links((layout.removed,))
        if layout.removed.exists():
            layout.store.recover([""])  # a manifest, if an earlier purge was interrupted
            manifest.forget_removed(layout)
            layout.removed.delete_folder()


def _refuse_irreparable(report: Report) -> None:
    """DamagedError if something that everything else depends on is damaged; an added teacher is not."""
    broken = [problem for problem in report.problems if problem.remedy == Remedy.NONE and problem.teacher is None]
    messages = [problem.message for problem in broken]
    if messages:
        advice = "Rebuild the plan first" if report.needs_plan else "Extract into another --cache-dir"
        problems = "; ".join(messages)
        raise DamagedError(f"this cannot be repaired, and nothing was changed: {problems}. {advice}", has_advice=True)


def _removals(layout: Layout, suffix: str, report: Report) -> tuple[Removal, ...]:
    removals = [_removal(layout, suffix, problem) for problem in report.problems if problem.remedy in _REMOVED]
    return tuple(removal for removal in dict.fromkeys(removals) if removal.files)


def _removal(layout: Layout, suffix: str, problem: Problem) -> Removal:
    if problem.remedy == Remedy.REDO_UNIT and problem.unit is not None:
        files = [
            path for column in reversed(layout.columns()) for path in _files_of(layout, column, problem.unit, suffix)
        ]
        videos = some(problem.videos) or "its videos are unknown"
        return Removal(f"unit {problem.unit} ({videos}): extract it again", tuple(files))
    if problem.remedy == Remedy.REDO_LOGITS and problem.unit is not None:
        files = _files_of(layout, problem.label_set, problem.unit, suffix)
        return Removal(
            f"logits of unit {problem.unit}, label set {problem.label_set}: compute them again", tuple(files)
        )
    if problem.remedy == Remedy.REDO_COLUMN and problem.unit is not None and problem.teacher is not None:
        files = _files_of(layout, TeacherColumn(problem.teacher), problem.unit, suffix)
        return Removal(f"embeddings of unit {problem.unit}, teacher {problem.teacher}: embed it again", tuple(files))
    continuations = continued_folder(problem.path).list(".json")
    if problem.remedy == Remedy.REDO_TEXTS:
        return Removal(f"texts of label set {problem.label_set}: {problem.remedy}", (problem.path, *continuations))
    return Removal(f"{problem.path.relative}: it cannot be read", (problem.path, *continuations))


def _files_of(layout: Layout, column: Column, unit: str, suffix: str) -> list[StoredPath]:
    """The existing files of a unit, record first: a shard without a record does not exist."""
    shards, records = layout.column_paths(column)
    return [path for path in (records / f"{unit}.json", shards / f"{unit}{suffix}") if path.exists()]


def take_out(layout: Layout, removals: tuple[Removal, ...]) -> StoredPath:
    """Move all files to a new folder in removed/, where each keeps its path in the cache."""
    layout.refuse_links((layout.removed,))
    layout.removed.make_folder()
    folder = layout.removed / f"{1 + _last_number(layout.removed):06d}"
    for path in dict.fromkeys(path for removal in removals for path in removal.files):
        path.move(folder / path.relative)
    return folder


def _last_number(folder: StoredPath) -> int:
    return max((int(path.name) for path in folder.list() if path.name.isdecimal()), default=0)


def _files_below(folder: StoredPath) -> Iterator[StoredPath]:
    for path in folder.list():
        if path.is_folder():
            yield from _files_below(path)
        else:
            yield path
