"""What a verification found: problems, each with what a repair would do about it, and counts of what was checked."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from embedonce.cache.errors import DamagedError, OtherVersionError
from embedonce.cache.records import Record, read_record
from embedonce.cache.stores.stored_path import StoredPath

T = TypeVar("T")
OnProgress = Callable[[int], None]  # called with the number of shards that were checked


class Remedy(StrEnum):
    """What a repair does about a problem."""

    REDO_UNIT = "extract again"
    REDO_LOGITS = "compute again from the embeddings"
    REDO_COLUMN = "embed again with add-teacher"
    REDO_TEXTS = "embed the texts again: relabel --embed-texts"
    FORGET = "remove"
    MISSING = "missing: restore it from a copy, or run the command that made it again"
    KEEP = "kept: nothing proves that it is damaged"
    NONE = "cannot be repaired"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. unit, label_set, teacher: what it belongs to. videos: uids whose rows it affects."""

    path: StoredPath
    message: str
    remedy: Remedy
    unit: str | None = None
    label_set: str | None = None
    videos: tuple[str, ...] = ()
    teacher: str | None = None


@dataclass
class Report:
    """What was checked, and every problem found.

    num_units: in the plan; num_pending: of these, without a record. num_committed: with one. needs_plan: the plan is
    missing, damaged or older than what was committed. extra: files that nothing in the cache refers to, which are no
    problem. unfinished: label set -> (units without logits, plan parts without clips), left over from an interrupted
    run. uncovered: added teacher -> units that it has not embedded yet.
    """

    num_shards: int = 0
    num_rows: int = 0
    num_bytes: int = 0
    num_units: int = 0
    num_pending: int = 0
    num_committed: int = 0
    needs_plan: bool = False
    problems: list[Problem] = field(default_factory=list)
    extra: list[StoredPath] = field(default_factory=list)
    unfinished: dict[str, tuple[int, int]] = field(default_factory=dict)
    uncovered: dict[str, int] = field(default_factory=dict)

    def attempt(self, path: StoredPath, remedy: Remedy, call: Callable[..., T], *arguments, **about) -> T | None:
        """What call returns; None, after adding a problem, if it raises DamagedError. about: fields of the problem."""
        try:
            return call(*arguments)
        except OtherVersionError as error:  # intact, but written by another version of this program
            self.problems.append(Problem(path, str(error), Remedy.NONE, **about))
        except DamagedError as error:
            self.problems.append(Problem(path, str(error), remedy, **about))
        return None

    def read_records(self, paths: Iterable[StoredPath], remedy: Remedy, **about) -> dict[str, Record]:
        """unit -> record, of the records that can be read; the others become problems. about: fields of these."""
        records = {}
        for path in paths:
            record = self.attempt(path, remedy, read_record, path, unit=path.stem, **about)
            if record is not None:
                records[path.stem] = record
        return records

    def add(self, record: Record, path: StoredPath, messages: Iterable[str], remedy: Remedy, **about) -> None:
        """Add a problem of a record and its shard for each message. path: of the record. about: as in attempt()."""
        about = {"unit": record.unit, "videos": tuple(record.video_uids), **about}
        self.problems += [Problem(path, message, remedy, **about) for message in messages]

    def count_frames(self, record: Record) -> None:
        """Count a frame shard as checked."""
        self.num_rows += record.num_rows
        self.count_column(record)

    def count_column(self, record: Record) -> None:
        """Count a shard of another column as checked."""
        self.num_shards += record.num_rows > 0
        self.num_bytes += record.num_bytes
