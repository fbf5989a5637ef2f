"""Making a damaged cache whole again: what is proven to be damaged is taken out, and the next extraction makes it anew.

Verifies under the writer's lock and moves files into `removed/`, where they stay until they are purged. Whatever was
not proven to be damaged stays where it is.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import commit, witness
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import DamagedError, some
from embedonce.cache.files import exists, is_folder, list_folder, refuse_links
from embedonce.cache.layout import Layout, read_identity, require_cache
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.verify import Problem, Remedy, Replay, Report, verify

_REMOVED = (Remedy.REDO_UNIT, Remedy.REDO_LOGITS, Remedy.FORGET)


@dataclass(frozen=True)
class Removal:
    """One thing to take out: why, in words, and its files in the order in which they go."""

    reason: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Repair:
    """What was found, and what was taken out of the cache into which folder (None where nothing was)."""

    report: Report
    removals: tuple[Removal, ...]
    folder: Path | None


def repair(
    root: Path,
    replay: Replay | None,
    confirm: Callable[[Report, tuple[Removal, ...]], bool] = lambda report, removals: True,
    tell=lambda shards: None,
) -> Repair:
    """Verify the cache in root and take out what is damaged, all under the writer's lock.

    replay, tell: as in verify(). confirm: called with what was found and what would be taken out; where it returns
    False, nothing is changed. DamagedError, and nothing is changed, where the identity, the plan or a label set itself
    is damaged; BusyError while another process writes the cache; StorageError where something cannot be read.
    """
    layout = Layout(root)
    require_cache(root)
    with contextlib.closing(commit.Lock(layout.lock)):
        report = verify(root, replay, tell)
        _refuse_hopeless(report)
        removals = _removals(layout, BACKENDS[read_identity(root).backend].suffix, report)
        if not removals or not confirm(report, removals):
            return Repair(report, removals, None)
        return Repair(report, removals, take_out(layout, removals))


def removed_files(root: Path) -> tuple[Path, ...]:
    """The files that earlier repairs took out. StorageError where they cannot be listed, DamagedError behind a link."""
    folder = Layout(root).removed
    refuse_links((folder,))
    return tuple(_files_below(folder))


def purge(root: Path) -> None:
    """Delete what earlier repairs took out. BusyError while another process writes the cache."""
    layout = Layout(root)
    require_cache(root)
    with contextlib.closing(commit.Lock(layout.lock)):
        refuse_links((layout.removed,))
        if exists(layout.removed):
            commit.remove_leftovers(root)  # of a manifest, where an earlier purge was cut short
            witness.forget_removed(layout)
            _delete_folder(layout.removed)


def _delete_folder(folder: Path) -> None:
    """Delete a folder with all that is in it. Links are deleted, and what they lead to stays."""
    for path in list_folder(folder):
        if is_folder(path):
            _delete_folder(path)
        else:
            commit.remove(path)
    commit.remove_folder(folder)


def _refuse_hopeless(report: Report) -> None:
    hopeless = [problem.message for problem in report.problems if problem.remedy == Remedy.NONE]
    if hopeless:
        instead = "Rebuild the plan first" if report.needs_plan else "Extract into another --cache-dir"
        raise DamagedError(f"this cannot be repaired, and nothing was changed: {'; '.join(hopeless)}. {instead}")


def _removals(layout: Layout, suffix: str, report: Report) -> tuple[Removal, ...]:
    found = [_removal(layout, suffix, problem) for problem in report.problems if problem.remedy in _REMOVED]
    return tuple(removal for removal in dict.fromkeys(found) if removal.files)


def _removal(layout: Layout, suffix: str, problem: Problem) -> Removal:
    if problem.remedy == Remedy.REDO_UNIT:
        columns = (*layout.label_sets(), None)
        files = [path for column in columns for path in _files_of(layout, column, problem.unit, suffix)]
        videos = some(problem.videos) or "its videos are unknown"
        return Removal(f"unit {problem.unit} ({videos}): extract it again", tuple(files))
    if problem.remedy == Remedy.REDO_LOGITS:
        files = _files_of(layout, problem.label_set, problem.unit, suffix)
        return Removal(
            f"logits of unit {problem.unit}, label set {problem.label_set}: compute them again", tuple(files)
        )
    return Removal(f"{problem.path.relative_to(layout.root)}: it cannot be read", (problem.path,))


def _files_of(layout: Layout, label_set: str | None, unit: str, suffix: str) -> list[Path]:
    """Record first: a shard without a record does not exist."""
    shards, records = layout.columns(label_set)
    return [path for path in (records / f"{unit}.json", shards / f"{unit}{suffix}") if exists(path)]


def take_out(layout: Layout, removals: tuple[Removal, ...]) -> Path:
    """Move all the files below a new folder in removed/, each under its path in the cache."""
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
