"""Verifying a whole cache: every document and shard is read and compared. Changes nothing.

Only what was read and found wrong is a problem. A file or folder that cannot be read now raises StorageError and ends
the verification, because that proves nothing about what is stored.
"""

from collections.abc import Collection, Iterable

from embedonce.cache import long_documents
from embedonce.cache.added_teachers.verify import verify_teacher
from embedonce.cache.catalog import Catalog
from embedonce.cache.completeness import extra_files, missing_files, unfinished
from embedonce.cache.errors import DamagedError, LabelSetError, OtherVersionError, some
from embedonce.cache.layout import Layout, read_identity
from embedonce.cache.listed_parts import refuse_unlisted
from embedonce.cache.plan import PlanIndex, PlanPart
from embedonce.cache.plan_age import older_than_clips
from embedonce.cache.plan_documents import read_plan
from embedonce.cache.plausibility import plan_problems, record_problems
from embedonce.cache.quarantine import DecodeAttempts, QuarantinedVideo, check_entry
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import current, read_planned
from embedonce.cache.removal_document import Removal, read_removal
from embedonce.cache.snapshot import Snapshot, refuse_removed, take_snapshot
from embedonce.cache.stores.registry import Location
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.verify_report import OnProgress, Problem, Remedy, Report
from embedonce.cache.verify_units import LOGITS_TOLERANCE, Replay, frame_problems, logits_problems, plan_contradictions
from embedonce.cache.withdrawn import read_withdrawn

__all__ = ["LOGITS_TOLERANCE", "OnProgress", "Problem", "Remedy", "Replay", "Report", "verify"]


def verify(where: Location, replay: Replay | None = None, on_progress: OnProgress = lambda num_shards: None) -> Report:
    """Check every document and shard of the cache at a location. on_progress: called after each shard.

    replay: computes crops of stored frames, to compare them with what the teacher saw; None to decode no pixels.
    NotACacheError if it is not a cache, StorageError if something cannot be read; everything else that is wrong is in
    the report.
    """
    layout, report = Layout.at(where), Report()
    try:
        identity = read_identity(layout.store)
        layout.refuse_links()
    except DamagedError as error:
        report.problems.append(Problem(layout.identity, str(error), Remedy.NONE))
        return report
    is_removing = layout.removal.exists()
    removal = _interrupted_removal(layout, report)
    catalog = Catalog(layout, identity)
    found = take_snapshot(catalog)
    plan = _read_plan(layout, report)
    if plan is None:
        return report
    for part, message in plan_problems(plan, identity):
        report.problems.append(Problem(layout.plan_part(part), message, Remedy.KEEP))
    records = current(report.read_records(found.records, Remedy.REDO_UNIT))
    reader = CacheReader(layout.store, identity, records, catalog)
    _verify_frames(reader, layout, PlanIndex(plan), found, replay, report, on_progress)
    if plan and not report.needs_plan and (number := found.last_clip_part) >= len(plan):
        report.problems.append(Problem(layout.plan, older_than_clips(layout.root, number), Remedy.KEEP))
        report.needs_plan = True
    if report.needs_plan:
        refuse_unlisted(layout.plan, len(plan))
    known = set() if report.needs_plan else {video.uid for part in plan for video in part.videos}
    for name, logits in found.label_sets.items():
        _verify_label_set(reader, layout, name, logits, known, removal.unit_names, report, on_progress)
    for name, embedded in found.teachers.items():
        verify_teacher(reader, layout, name, embedded, removal.unit_names, replay, report, on_progress)
    for path in layout.withdrawn.list(".json"):
        report.attempt(path, Remedy.KEEP, read_withdrawn, path)
    for folder, entry_type in ((layout.quarantine, QuarantinedVideo), (layout.attempts, DecodeAttempts)):
        for path in folder.list(".json"):
            report.attempt(path, Remedy.FORGET, _check_entry, path, entry_type)
    _compare_with_folders(reader, layout, plan, found, removal, report)
    if report.problems and not is_removing:
        refuse_removed(layout, found)
    return report


def _interrupted_removal(layout: Layout, report: Report) -> Removal:
    """The removal that was interrupted, after adding a problem that says how it is finished; empty if there is none."""
    removal = report.attempt(layout.removal, Remedy.NONE, read_removal, layout)
    if removal is not None:
        what = f"{len(removal.videos)} videos" if removal.videos else f"label set {some(removal.label_sets)}"
        what = f"added teacher {some(removal.teachers)}" if removal.teachers else what
        message = f"a removal of {what} was interrupted: finish it with the same remove or refresh command"
        report.problems.append(Problem(layout.removal, message, Remedy.KEEP))
    return removal or Removal()


def _read_plan(layout: Layout, report: Report) -> list[PlanPart] | None:
    """The plan; None, after adding a problem, if it or a folder of the cache is damaged or missing."""
    try:
        plan = read_plan(layout.plan)
    except DamagedError as error:
        report.problems.append(Problem(layout.plan, str(error), Remedy.NONE))
        report.needs_plan = not isinstance(error, OtherVersionError)
        return None
    try:
        if plan:
            _refuse_missing(layout.folders)  # a run that was killed before it planned may not have made them yet
    except DamagedError as error:
        report.problems.append(Problem(layout.identity, str(error), Remedy.NONE))
        return None
    return plan


def _verify_frames(
    reader: CacheReader,
    layout: Layout,
    plan: PlanIndex,
    found: Snapshot,
    replay: Replay | None,
    report: Report,
    on_progress: OnProgress,
) -> None:
    folder = layout.frame_paths().records
    fingerprints = {uid: video.fingerprint for uid, video in plan.videos.items()}
    report.num_units = len(plan.units)
    report.num_committed = len(reader.records)
    report.num_pending = len(set(plan.units) - {path.stem for path in found.records})
    report.needs_plan = not set(reader.records) <= set(plan.units)
    for unit, record in reader.records.items():
        path = folder / f"{unit}.json"
        about = {"unit": unit, "videos": tuple(record.video_uids)}
        recorded = report.attempt(path, Remedy.REDO_UNIT, read_planned, path, **about)
        report.count_frames(record)
        report.add(record, path, frame_problems(reader, record, fingerprints, replay), Remedy.REDO_UNIT)
        contradictions = [*plan_contradictions(record, plan.units.get(unit), recorded)]
        contradictions += record_problems(record, plan.videos, reader.identity)
        report.add(record, path, contradictions, Remedy.KEEP)
        on_progress(report.num_shards)


def _verify_label_set(
    reader: CacheReader,
    layout: Layout,
    name: str,
    logits: list[StoredPath],
    planned: set[str],
    in_removal: Collection[str],
    report: Report,
    on_progress: OnProgress,
) -> None:
    """logits: records of its logits. planned: uids of all planned videos; empty to compare no clips with the plan.

    in_removal: units that an interrupted removal deletes or makes, whose frames or logits may not exist.
    """
    folder, paths = layout.labels / name, layout.logit_paths(name)
    try:
        layout.refuse_links((folder, *paths))
        _refuse_missing((folder / "clips", folder / "revisions", *paths))
        head = reader.head(name)
    except (DamagedError, LabelSetError) as error:
        report.problems.append(Problem(folder, str(error), Remedy.NONE, label_set=name))
        return
    for uid in sorted({clip.video_uid for clip in reader.label_set(name).clips} - planned) if planned else ():
        message = f"label set {name} has clips of {uid}, which is not in the plan: extract-teacher plans it again"
        report.problems.append(Problem(folder, message, Remedy.MISSING, label_set=name))
    for path in (folder / "revisions").list(".json")[:-1]:  # the last one was read with the label set
        report.attempt(path, Remedy.FORGET, long_documents.read, path, label_set=name)
    _verify_texts(reader, name, report)
    if reader.label_set(name).computes_logits:
        return
    records = report.read_records(logits, Remedy.REDO_LOGITS, label_set=name)
    reader.override_records(name, records)
    broken = {problem.unit for problem in report.problems if problem.remedy == Remedy.REDO_UNIT}
    for unit, record in records.items():
        report.count_column(record)
        if unit not in broken and (unit in reader.records or unit not in in_removal):
            messages = logits_problems(reader, name, record, head, layout.frame_paths().records)
            report.add(record, paths.records / f"{unit}.json", messages, Remedy.REDO_LOGITS, label_set=name)
        on_progress(report.num_shards)


def _verify_texts(reader: CacheReader, name: str, report: Report) -> None:
    """The texts of a label set's clips, and all of their vectors."""
    store = reader.texts(name)
    texts = report.attempt(store.path, Remedy.REDO_TEXTS, store.read, label_set=name)
    for file in texts.files if texts is not None else ():
        report.attempt(store.path, Remedy.REDO_TEXTS, store.vectors_of, file, label_set=name)


def _check_entry(path: StoredPath, entry_type: type) -> None:
    """check_entry(), unless a writer has removed the document since it was listed."""
    try:
        check_entry(path, entry_type)
    except DamagedError:
        if path.exists():
            raise


def _compare_with_folders(
    reader: CacheReader, layout: Layout, plan: list[PlanPart], found: Snapshot, removal: Removal, report: Report
) -> None:
    """Add every file that should exist and does not, and list every file that nothing refers to.

    removal: an interrupted one, of whose label sets and teachers anything may be missing.
    """
    broken = {problem.label_set for problem in report.problems if problem.remedy == Remedy.NONE}
    broken |= set(removal.label_sets)
    sound = [name for name in found.label_sets if name not in broken]
    is_plan_short = not set(reader.records) <= {unit.name for part in plan for unit in part.units}  # reported per unit
    for lost, message in missing_files(reader, layout, plan, sound, found.manifest):
        if lost.label_set in broken - {None} or lost.teacher in removal.teachers:
            continue
        if is_plan_short and lost.path.parent == layout.plan:
            continue
        belongs = lost.unit, lost.label_set
        report.problems.append(Problem(lost.path, message, Remedy.MISSING, *belongs, teacher=lost.teacher))
    report.extra += extra_files(reader, layout, plan, sound)
    counts = {name: unfinished(reader, plan, name) for name in sound}
    report.unfinished = {name: left for name, left in counts.items() if any(left)}


def _refuse_missing(folders: Iterable[StoredPath]) -> None:
    for folder in folders:
        if folder.store.has_folders and not folder.exists():
            raise DamagedError(f"{folder} is missing; restore it from a copy")
