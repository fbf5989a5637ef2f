"""Commit records: the truth about which shards exist and what each holds.

Knows the record's document and what must be true of it; the shard it speaks of is somebody else's to write and to open.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from embedonce.cache import documents
from embedonce.cache.backends.shard_format import Encoded
from embedonce.cache.errors import DamagedError
from embedonce.cache.files import list_folder
from embedonce.cache.limits import MAX_FRAME_INDEX, MAX_TICKS
from embedonce.cache.planned_units import PlannedUnit, planned_document, planned_from
from embedonce.cache.schema import INTERPOLATIONS, MAX_TIME_BASE, VIEW_FIELDS, Segment, Status, check_unit

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """What was committed for one unit. A unit without rows has no shard: its num_bytes is 0.

    segments: the rows and requests (empty in the record of logits, whose rows are the frame shard's).
    index: what the back end needs to reach rows. provenance: who made it, with what. part: of the plan, which the unit
    was planned in; None in the record of logits, and where the unit was never planned.
    """

    unit: str
    num_bytes: int
    sha256: str
    num_rows: int
    segments: tuple[Segment, ...]
    index: dict
    provenance: dict = field(default_factory=dict)
    part: int | None = None

    @property
    def keys(self) -> list[str]:
        """The keys of the rows, in order."""
        return [key for segment in self.segments for key in segment.keys]

    @property
    def video_uids(self) -> list[str]:
        return [segment.video_uid for segment in self.segments]


def record_of(unit: str, encoded: Encoded, sha256: str, segments, num_rows: int, provenance: dict) -> Record:
    return Record(unit, len(encoded.data), sha256, num_rows, tuple(segments), encoded.index, provenance)


def record_document(record: Record, planned: PlannedUnit | None = None) -> dict:
    """planned: the unit as it was planned, where it was."""
    document = {
        "unit": record.unit,
        "num_bytes": record.num_bytes,
        "sha256": record.sha256,
        "num_rows": record.num_rows,
        "segments": [documents.segment_document(segment) for segment in record.segments],
        "index": record.index,
        "provenance": record.provenance,
    }
    return document if planned is None else document | {"planned": planned_document(planned, record.segments)}


def record_paths(folder: Path) -> list[Path]:
    """The files of a folder of records, in order of units."""
    return list_folder(folder, ".json")


def read_records(folder: Path) -> dict[str, Record]:
    """Every record in folder by unit name. DamagedError where one cannot be read or contradicts itself."""
    return {path.stem: read_record(path) for path in record_paths(folder)}


def read_record(path: Path) -> Record:
    """DamagedError where it cannot be read or contradicts itself."""
    record = record_from(documents.read(path), str(path))
    if record.unit != path.stem:
        raise DamagedError(f"{path} speaks of unit {record.unit!r}: it was renamed or copied")
    return record


def record_from(document: dict, what: str) -> Record:
    """DamagedError where the document contradicts itself."""
    with documents.as_damaged_error(what):
        names = ("unit", "num_bytes", "sha256", "num_rows", "index", "provenance")
        fields = {name: document[name] for name in names}
        segments = documents.parse_list(document["segments"])
        segments = tuple(documents.segment_from(segment, what) for segment in segments)
        planned = _planned(document, segments)
        record = documents.validate_types(
            Record(**fields, segments=segments, part=None if planned is None else planned.part)
        )
        _check(record)
    return record


def read_planned(path: Path) -> PlannedUnit | None:
    """The unit as it was planned, by its record; None where it was not. DamagedError as in read_record()."""
    record, document = read_record(path), documents.read(path)
    with documents.as_damaged_error(str(path)):
        return _planned(document, record.segments)


def _planned(document: dict, segments: tuple[Segment, ...]) -> PlannedUnit | None:
    return planned_from(document["planned"], document["unit"], segments) if "planned" in document else None


def _check(record: Record) -> None:
    """ValueError where a record contradicts itself."""
    check_unit(record.unit)
    if not _SHA256.fullmatch(record.sha256):
        raise ValueError(f"{record.sha256!r} is no SHA-256")
    if not 0 <= record.num_rows <= record.num_bytes:
        raise ValueError(f"{record.num_rows} rows cannot be in {record.num_bytes} bytes")
    if record.segments and record.num_rows != sum(segment.num_rows for segment in record.segments):
        raise ValueError(f"its segments do not have {record.num_rows} rows")
    for segment in record.segments:
        _check_segment(segment)


def _check_segment(segment: Segment) -> None:
    arrays = (segment.frame_index, segment.pts, segment.request_k, segment.request_status, segment.request_row)
    rows, requests = segment.num_rows, len(segment.request_k)
    if [array.shape for array in arrays] != [(rows,)] * 2 + [(requests,)] * 3:
        raise ValueError(f"columns of {segment.video_uid} have different lengths")
    if segment.views.ndim != 2 or segment.views.shape[1] != len(VIEW_FIELDS) or not len(segment.views):
        raise ValueError(f"views of {segment.video_uid} have shape {segment.views.shape}")
    if (segment.views < (0, 0, 1, 1, 0, 0)).any() or not set(segment.views[:, 5]) <= set(INTERPOLATIONS.values()):
        raise ValueError(f"views of {segment.video_uid} cannot be as they are")
    if rows and not 0 <= segment.frame_index[0] <= segment.frame_index[-1] <= MAX_FRAME_INDEX:
        raise ValueError(f"frames of {segment.video_uid} are numbered from {segment.frame_index[0]}")
    if min(segment.time_base) < 1 or max(segment.time_base) > MAX_TIME_BASE:
        raise ValueError(f"the time base of {segment.video_uid} is {segment.time_base}")
    in_time = (segment.frame_index, segment.pts, segment.request_k)
    if any((np.abs(column) >= MAX_TICKS).any() for column in (*in_time, np.array([segment.first_pts]))):
        raise ValueError(f"times of {segment.video_uid} are beyond {MAX_TICKS} ticks")
    if any((column[1:] <= column[:-1]).any() for column in in_time):
        raise ValueError(f"rows or requests of {segment.video_uid} are not in order of time")
    is_ok = segment.request_status == Status.OK
    has_row = (segment.request_row >= 0) & (segment.request_row < rows)
    if (segment.request_status > max(Status)).any() or (is_ok != has_row).any() or (segment.request_row < -1).any():
        raise ValueError(f"requests of {segment.video_uid} do not fit its rows")
