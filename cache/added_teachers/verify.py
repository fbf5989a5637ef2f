"""Verifying added teachers: their documents, records and shards, apart from those of the frames that they embedded."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from embedonce.cache.added_teachers.documents import seen_views
from embedonce.cache.errors import DamagedError, TeacherError
from embedonce.cache.layout import Layout
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record
from embedonce.cache.schema import FrameBatch
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.verify_report import OnProgress, Problem, Remedy, Report
from embedonce.cache.verify_units import Replay, embedding_problems, pixel_problems


def verify_teacher(
    reader: CacheReader,
    layout: Layout,
    name: str,
    listed: list[StoredPath],
    in_removal: Collection[str],
    replay: Replay | None,
    report: Report,
    on_progress: OnProgress,
) -> None:
    """Add the problems of an added teacher to a report, and count what was checked.

    listed: its records. in_removal: units that an interrupted removal deletes or makes, whose frames may not exist.
    replay: computes crops of stored frames; None to decode no pixels.
    """
    try:
        reader.teachers.read(name)
    except (DamagedError, TeacherError) as error:
        report.problems.append(Problem(layout.teacher_document(name), str(error), Remedy.NONE, teacher=name))
        return
    folder = layout.teacher_paths(name).records
    records = report.read_records(listed, Remedy.REDO_COLUMN, teacher=name)
    reader.teachers.documents.override_records(name, records)
    broken = {problem.unit for problem in report.problems if problem.remedy == Remedy.REDO_UNIT}
    for unit, record in records.items():
        report.count_column(record)
        if unit not in broken and (unit in reader.records or unit not in in_removal):
            messages = _problems(reader, layout, name, record, replay)
            report.add(record, folder / f"{unit}.json", messages, Remedy.REDO_COLUMN, teacher=name)
        on_progress(report.num_shards)
    lacking = len(reader.teachers.lacking(name))
    report.uncovered |= {name: lacking} if lacking else {}


def _problems(reader: CacheReader, layout: Layout, name: str, record: Record, replay: Replay | None) -> Iterator[str]:
    unit = record.unit
    if unit not in reader.records:
        if not (layout.frame_paths().records / f"{unit}.json").exists():  # else committed after the listing
            yield f"teacher {name} has embeddings of unit {unit}, which has no frames"
        return
    try:
        seen = _as_seen(reader, name, unit)
    except DamagedError as error:
        yield str(error)
        return
    yield from embedding_problems(seen)
    if replay is not None:
        yield from pixel_problems(seen, replace(reader.identity, teacher=reader.teachers.read(name).identity), replay)


def _as_seen(reader: CacheReader, name: str, unit: str) -> FrameBatch:
    """The rows of a unit as if an added teacher had made the cache."""
    teacher, batch = reader.teachers.read(name).identity, reader.batch(unit)
    segments = tuple(replace(one, views=seen_views(one.views, teacher)) for one in batch.segments)
    embeddings, crop_crc32 = reader.teachers.all_embeddings(name, unit), reader.teachers.all_crop_crc32(name, unit)
    return FrameBatch(segments, batch.jpegs, embeddings, crop_crc32)
