"""Going through a whole cache and naming everything that is not as it was committed. Changes nothing.

Only what was read and found wrong is a problem. A file or folder that cannot be read right now is a StorageError, which
ends the verification: it proves nothing about what is stored. Pixels are checked by a function that is passed in.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from embedonce.cache import documents
from embedonce.cache.completeness import extra, missing, unfinished
from embedonce.cache.errors import DamagedError, LabelSetError, OtherVersionError
from embedonce.cache.files import exists, list_folder, refuse_links
from embedonce.cache.jpeg_header import check_header
from embedonce.cache.labels import logits_from
from embedonce.cache.layout import Layout, read_identity
from embedonce.cache.plan import PlanIndex, PlannedSegment, PlanPart, Unit
from embedonce.cache.plan_age import last_clip_part, older_than_clips
from embedonce.cache.planned_units import PlannedUnit, are_equal_units
from embedonce.cache.plausible import plan_problems, record_problems
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record, read_planned, read_record, record_paths
from embedonce.cache.schema import CacheIdentity, FrameBatch

NORM_TOLERANCE = 2e-3  # of a unit vector in float16
LOGITS_TOLERANCE = 1e-3  # of the largest logit: between one machine's matrix product and another's

Replay = Callable[[bytes, np.ndarray, int], np.ndarray]  # JPEG, views (V, 6), side -> (V,) uint32 CRC-32 of the crops


class Remedy(StrEnum):
    """What repair does about a problem."""

    REDO_UNIT = "extract again"
    REDO_LOGITS = "compute again from the embeddings"
    FORGET = "remove"
    MISSING = "missing: put it back from a copy, or make it again with the command that made it"
    KEEP = "kept: nothing proves that it is damaged"
    NONE = "cannot be repaired"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. unit and label_set say what it is about; videos are those whose rows it concerns."""

    path: Path
    message: str
    remedy: Remedy
    unit: str | None = None
    label_set: str | None = None
    videos: tuple[str, ...] = ()


@dataclass
class Report:
    """What was looked at, and every problem found."""

    num_shards: int = 0
    num_rows: int = 0
    num_bytes: int = 0
    num_units: int = 0  # in the plan
    num_pending: int = 0  # of them without a record
    needs_plan: bool = False  # the plan is missing, damaged or older than what was committed by it
    problems: list[Problem] = field(default_factory=list)
    extra: list[Path] = field(default_factory=list)  # that nothing in the cache implies; they are no problem
    # label set -> (units without logits, plan parts without clips): what an interrupted run left to do
    unfinished: dict[str, tuple[int, int]] = field(default_factory=dict)


def verify(root: Path, replay: Replay | None = None, tell=lambda shards: None) -> Report:
    """Check every document and shard of the cache in root. tell: called after each shard.

    replay: crops of stored frames, to compare with what the teacher saw; without it pixels are not decoded.
    NotACacheError where there is no cache, StorageError where something of it cannot be read; anything else that is
    wrong is in the report.
    """
    layout, report = Layout(root), Report()
    try:
        identity = read_identity(root)
        refuse_links(layout.folders)
    except DamagedError as error:
        report.problems.append(Problem(layout.identity, str(error), Remedy.NONE))
        return report
    try:
        plan = documents.read_plan(layout.plan)
    except DamagedError as error:
        report.problems.append(Problem(layout.plan, str(error), Remedy.NONE))
        report.needs_plan = not isinstance(error, OtherVersionError)
        return report
    try:
        if plan:
            _refuse_missing(layout.folders)  # a run that was killed before it planned anything may not have made them
    except DamagedError as error:
        report.problems.append(Problem(layout.identity, str(error), Remedy.NONE))
        return report
    planned = PlanIndex(plan)
    videos = planned.videos
    fingerprints = {uid: video.fingerprint for uid, video in videos.items()}
    for part, message in plan_problems(plan, identity):
        report.problems.append(Problem(layout.plan / f"{part:06d}.json", message, Remedy.KEEP))
    records = _readable(layout.columns(None)[1], report, Remedy.REDO_UNIT, None)
    report.num_units = len(planned.units)
    report.num_pending = len(set(planned.units) - {path.stem for path in record_paths(layout.columns(None)[1])})
    reader = CacheReader(root, identity, records)
    for unit, record in records.items():
        path = layout.columns(None)[1] / f"{unit}.json"
        told = _try(report, path, Remedy.REDO_UNIT, read_planned, path, unit=unit, videos=tuple(record.video_uids))
        _note(report, record, path, list(_frame_problems(reader, record, fingerprints, replay)), Remedy.REDO_UNIT, None)
        found = _plan_problems(record, planned.units.get(unit), told)
        contradictions = [*found, *record_problems(record, videos, identity)]
        _add(report, record, path, contradictions, Remedy.KEEP, None)
        tell(report.num_shards)
    report.needs_plan = not set(records) <= set(planned.units)
    if plan and not report.needs_plan and (number := last_clip_part(layout)) >= len(plan):
        report.problems.append(Problem(layout.plan, older_than_clips(root, number), Remedy.KEEP))
        report.needs_plan = True
    for name in reader.label_sets():
        known = set() if report.needs_plan else set(videos)  # what the plan lacks is told already
        _verify_label_set(reader, layout, (name, known), report, tell)
    for folder in (layout.quarantine, layout.attempts):
        for path in list_folder(folder, ".json"):
            _try(report, path, Remedy.FORGET, documents.check_named, path)
    _compare_with_folders(reader, layout, plan, report)
    return report


def _compare_with_folders(reader: CacheReader, layout: Layout, plan: list[PlanPart], report: Report) -> None:
    """Name every file that is not there and should be, and every one that is there and need not be."""
    broken = {problem.label_set for problem in report.problems if problem.remedy == Remedy.NONE}
    sound = [name for name in reader.label_sets() if name not in broken]
    is_plan_short = not set(reader.records) <= {unit.name for part in plan for unit in part.units}  # told unit by unit
    for lost, message in missing(reader, layout, plan, sound):
        if lost.label_set in broken - {None} or (is_plan_short and lost.path.parent == layout.plan):
            continue
        report.problems.append(Problem(lost.path, message, Remedy.MISSING, lost.unit, lost.label_set))
    report.extra += extra(reader, layout, plan, sound)
    left = {name: unfinished(reader, plan, name) for name in sound}
    report.unfinished = {name: counts for name, counts in left.items() if any(counts)}


def _refuse_missing(folders) -> None:
    for folder in folders:
        if not exists(folder):
            raise DamagedError(f"{folder} is missing; put it back from a copy")


def _readable(folder: Path, report: Report, remedy: Remedy, label_set: str | None) -> dict[str, Record]:
    records = {}
    for path in record_paths(folder):
        record = _try(report, path, remedy, read_record, path, unit=path.stem, label_set=label_set)
        if record is not None:
            records[path.stem] = record
    return records


def _try(report: Report, path: Path, remedy: Remedy, call, *arguments, **about):
    """What call returns, or None and a problem."""
    try:
        return call(*arguments)
    except OtherVersionError as error:  # whole, and made by another version of this program
        report.problems.append(Problem(path, str(error), Remedy.NONE, **about))
    except DamagedError as error:
        report.problems.append(Problem(path, str(error), remedy, **about))


def _note(report: Report, record: Record, path: Path, found: list[str], remedy: Remedy, label_set: str | None) -> None:
    report.num_shards += record.num_rows > 0
    report.num_rows += record.num_rows if label_set is None else 0
    report.num_bytes += record.num_bytes
    _add(report, record, path, found, remedy, label_set)


def _add(report: Report, record: Record, path: Path, found: list[str], remedy: Remedy, label_set: str | None) -> None:
    videos = tuple(record.video_uids)
    report.problems += [Problem(path, message, remedy, record.unit, label_set, videos) for message in found]


def _frame_problems(
    reader: CacheReader, record: Record, fingerprints: dict[str, str], replay: Replay | None
) -> Iterator[str]:
    yield from _strange_files(record, fingerprints)
    try:
        batch = reader.batch(record.unit)
        if not record.num_rows:
            return
        shard = reader.frames(record.unit)
        if shard.keys() != record.keys:
            yield "the shard holds other rows than its record says"
        other = shard.first_contradiction(record.segments)
    except DamagedError as error:
        yield str(error)
        return
    if other:
        yield f"the shard has other {other} than its record"
    yield from _embedding_problems(batch)
    if replay is not None:
        yield from _replayed(batch, reader.identity, replay)


def _strange_files(record: Record, fingerprints: dict[str, str]) -> Iterator[str]:
    """Videos whose rows do not come from the file that was planned."""
    for segment in record.segments:
        if segment.fingerprint != fingerprints.get(segment.video_uid, segment.fingerprint):
            yield f"the rows of {segment.video_uid} come from another file than the one that was planned"


def _plan_problems(record: Record, planned: Unit | None, told: PlannedUnit | None) -> Iterator[str]:
    """Where a record and the plan contradict each other: which of the two is wrong cannot be known from here.

    planned: by the plan; told: by the record.
    """
    if planned is None:
        yield f"unit {record.unit} is committed and not in the plan, which is missing or older than it"
        return
    asked: dict[str, PlannedSegment] = {segment.video_uid: segment for segment in planned.segments}
    for segment in record.segments:
        plan = asked.get(segment.video_uid)
        if plan is None or not np.array_equal(plan.request_k, segment.request_k):
            yield f"the requests of {segment.video_uid} are not those of the plan"
        elif not np.isin(segment.frame_index, plan.frame_index).all():
            yield f"rows of {segment.video_uid} were never planned"
    if told is not None and not are_equal_units(told.unit, planned):
        yield f"unit {record.unit} was planned with other times or frames than the plan has now"


def _embedding_problems(batch: FrameBatch) -> Iterator[str]:
    norms = np.linalg.norm(batch.embeddings.astype(np.float32), axis=2)
    wrong = np.argwhere(np.abs(norms - 1) > NORM_TOLERANCE)
    if len(wrong):
        row, view = wrong[0]
        yield f"the embedding of {batch.keys[row]}, view {view}, has length {norms[row, view]:.4f}, not 1"


def _replayed(batch: FrameBatch, identity: CacheIdentity, replay: Replay) -> Iterator[str]:
    row = 0
    for segment in batch.segments:
        for key in segment.keys:
            try:
                check_header(batch.jpegs[row], identity.canonical_short_side)
                found = replay(batch.jpegs[row], segment.views, identity.teacher.input_size)
            except (OSError, ValueError) as error:
                yield f"the stored frame {key} cannot be decoded ({error})"
                return
            if not np.array_equal(found, batch.crop_crc32[row]):
                yield f"the crops of {key} are not the pixels that the teacher saw"
                return
            row += 1


def _verify_label_set(reader: CacheReader, layout: Layout, about: tuple[str, set[str]], report: Report, tell) -> None:
    """about: the label set's name, and the uids of all planned videos; none where that is not to be compared."""
    name, planned = about
    folder = layout.labels / name
    try:
        refuse_links((folder, *layout.columns(name)))
        _refuse_missing((folder / "clips", folder / "revisions", *layout.columns(name)))
        head = reader.head(name)
    except (DamagedError, LabelSetError) as error:
        report.problems.append(Problem(folder, str(error), Remedy.NONE, label_set=name))
        return
    for uid in sorted({clip.video_uid for clip in reader.label_set(name).clips} - planned) if planned else ():
        message = f"label set {name} has clips of {uid}, which is not in the plan: extract-teacher plans it anew"
        report.problems.append(Problem(folder, message, Remedy.MISSING, label_set=name))
    for path in list_folder(folder / "revisions", ".json")[:-1]:  # the last one was read with the label set
        _try(report, path, Remedy.FORGET, documents.read, path, label_set=name)
    records = _readable(layout.columns(name)[1], report, Remedy.REDO_LOGITS, name)
    reader.trust(name, records)
    broken = {problem.unit for problem in report.problems if problem.remedy == Remedy.REDO_UNIT}
    for unit, record in records.items():
        found = (
            list(_logits_problems(reader, name, record, head, layout.columns(None)[1])) if unit not in broken else []
        )
        _note(report, record, layout.columns(name)[1] / f"{unit}.json", found, Remedy.REDO_LOGITS, name)
        tell(report.num_shards)


def _logits_problems(reader: CacheReader, name: str, record: Record, head: dict | None, frames: Path) -> Iterator[str]:
    """frames: the folder of the frame shards' records."""
    if record.unit not in reader.records:
        if not exists(frames / f"{record.unit}.json"):  # it may have been committed since this verification began
            yield "there are logits of a unit that has no frames"
        return
    if not record.num_rows:
        return
    try:
        logits = reader.all_logits(name, record.unit)
        if head is None:
            return
        expected = logits_from(head, reader.batch(record.unit).embeddings)
    except DamagedError as error:
        yield str(error)
        return
    if not np.allclose(logits, expected, rtol=0, atol=LOGITS_TOLERANCE * np.abs(expected).max(initial=1)):
        yield "its logits are not those of the label set's own head over these embeddings"
