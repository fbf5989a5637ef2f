"""Repairing a damaged cache: damaged files are moved to `removed/`, and the next extraction makes them again.

Verifies under the writer's lock. Files that are not proven to be damaged stay where they are; moved files stay in
`removed/` until they are purged.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import commit, manifest
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import DamagedError, some
from embedonce.cache.files import exists, is_folder, list_folder, refuse_links
from embedonce.cache.layout import Layout, read_identity, require_cache
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.verify import OnProgress, Replay, verify
from embedonce.cache.verify_report import Problem, Remedy, Report

_REMOVED = (Remedy.REDO_UNIT, Remedy.REDO_LOGITS, Remedy.FORGET)


@dataclass(frozen=True)
class Removal:
    """Files to move away, in this order, and why."""

    reason: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Repair:
    """The verification, the removals, and the folder that files were moved to (None if nothing was changed)."""

    report: Report
    removals: tuple[Removal, ...]
    folder: Path | None


def repair(
    root: Path,
    replay: Replay | None,
    confirm: Callable[[Report, tuple[Removal, ...]], bool] = lambda report, removals: True,
    on_progress: OnProgress = lambda num_shards: None,
) -> Repair:
    """Verify the cache in root and move damaged files away, all under the writer's lock.

    replay, on_progress: as in verify(). confirm: called with the report and the removals; if it returns False, nothing
    is changed. DamagedError, and nothing is changed, if the identity, the plan or a label set itself is damaged;
    BusyError while another process writes the cache; StorageError if something cannot be read.
    """
    layout = Layout(root)
    require_cache(root)
    with contextlib.closing(commit.Lock(layout.lock)):
        report = verify(root, replay, on_progress)
        _refuse_irreparable(report)
        removals = _removals(layout, BACKENDS[read_identity(root).backend].suffix, report)
        if not removals or not confirm(report, removals):
            return Repair(report, removals, None)
        return Repair(report, removals, take_out(layout, removals))


def removed_files(root: Path) -> tuple[Path, ...]:
    """The files that earlier repairs moved away. StorageError if they cannot be listed, DamagedError behind a link."""
    folder = Layout(root).removed
    refuse_links((folder,))
    return tuple(_files_below(folder))


def purge(root: Path) -> None:
    """Delete the files that earlier repairs moved away. BusyError while another process writes the cache."""
    layout = Layout(root)
    require_cache(root)
    with contextlib.closing(commit.Lock(layout.lock)):
        refuse_links((layout.removed,))
        if exists(layout.removed):
            commit.remove_leftovers(root)  # of a manifest, if an earlier purge was interrupted
            manifest.forget_removed(layout)
            _delete_folder(layout.removed)


def _delete_folder(folder: Path) -> None:
    """Delete a folder with its content. Links are deleted, and not followed."""
    for path in list_folder(folder):
        if is_folder(path):
            _delete_folder(path)
        else:
            commit.remove(path)
    commit.remove_folder(folder)


def _refuse_irreparable(report: Report) -> None:
    messages = [problem.message for problem in report.problems if problem.remedy == Remedy.NONE]
    if messages:
        advice = "Rebuild the plan first" if report.needs_plan else "Extract into another --cache-dir"
        problems = "; ".join(messages)
        raise DamagedError(f"this cannot be repaired, and nothing was changed: {problems}. {advice}", has_advice=True)


def _removals(layout: Layout, suffix: str, report: Report) -> tuple[Removal, ...]:
    removals = [_removal(layout, suffix, problem) for problem in report.problems if problem.remedy in _REMOVED]
    return tuple(removal for removal in dict.fromkeys(removals) if removal.files)


def _removal(layout: Layout, suffix: str, problem: Problem) -> Removal:
    if problem.remedy == Remedy.REDO_UNIT and problem.unit is not None:
        columns = (*layout.label_sets(), None)
        files = [path for column in columns for path in _files_of(layout, column, problem.unit, suffix)]
        videos = some(problem.videos) or "its videos are unknown"
        return Removal(f"unit {problem.unit} ({videos}): extract it again", tuple(files))
    if problem.remedy == Remedy.REDO_LOGITS and problem.unit is not None:
        files = _files_of(layout, problem.label_set, problem.unit, suffix)
        return Removal(
            f"logits of unit {problem.unit}, label set {problem.label_set}: compute them again", tuple(files)
        )
    return Removal(f"{problem.path.relative_to(layout.root)}: it cannot be read", (problem.path,))


def _files_of(layout: Layout, label_set: str | None, unit: str, suffix: str) -> list[Path]:
    """The existing files of a unit, record first: a shard without a record does not exist."""
    shards, records = layout.column_paths(label_set)
    return [path for path in (records / f"{unit}.json", shards / f"{unit}{suffix}") if exists(path)]


def take_out(layout: Layout, removals: tuple[Removal, ...]) -> Path:
    """Move all files to a new folder in removed/, where each keeps its path in the cache."""
    refuse_links((layout.removed,))
    commit.make_folder(layout.removed)
    store, folder = LocalStore(layout.root), layout.removed / f"{1 + _last_number(layout.removed):06d}"
    for path in dict.fromkeys(path for removal in removals for path in removal.files):
        place = path.relative_to(layout.root).as_posix()
        store.move(place, f"removed/{folder.name}/{place}")
    return folder


def _last_number(folder: Path) -> int:
    return max((int(path.name) for path in list_folder(folder) if path.name.isdecimal()), default=0)


def _files_below(folder: Path) -> Iterator[Path]:
    for path in list_folder(folder):
        if is_folder(path):
            yield from _files_below(path)
        else:
            yield path
