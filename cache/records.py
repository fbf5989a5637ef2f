"""Commit records: which shards exist, and what each holds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from embedonce.cache import documents
from embedonce.cache.backends.shard_format import Encoded
from embedonce.cache.documents import parse_arrays, parse_list, validate_types
from embedonce.cache.errors import DamagedError
from embedonce.cache.limits import MAX_FRAME_INDEX, MAX_TICKS
from embedonce.cache.packed_index import packed, unpacked
from embedonce.cache.planned_units import PlannedUnit, check_nothing_lost, check_part, planned_document, planned_from
from embedonce.cache.schema import (
    FORMAT_VERSION,
    FORMAT_VERSION_2,
    INTERPOLATIONS,
    MAX_TIME_BASE,
    VIEW_FIELDS,
    Segment,
    Status,
    check_fingerprint,
    check_sha256,
    check_uid,
    check_unit,
)
from embedonce.cache.stores.stored_path import StoredPath

_LEAST_VIEW = np.array((0, 0, 1, 1, 0, 0), np.int32)
_OK, _LAST_STATUS = int(Status.OK), int(max(Status))  # plain integers: numpy compares enumerations slowly
_INTERPOLATIONS = frozenset(INTERPOLATIONS.values())


@dataclass(frozen=True)
class Record:
    """What was committed for one unit. A unit without rows has no shard, and num_bytes 0.

    segments: rows and requests; empty in records of other columns, whose rows are those of the frame shard. index: what
    the back end needs to find rows, as packed() by cache.packed_index in a record that was read. provenance: who
    computed the rows, with what. part: the plan part that the unit belongs to; None in records of other columns and for
    units that were never planned. replaces: the unit whose other rows these are, which does not exist any more for
    readers; empty for most. frames_sha256: of the frame shard that an added teacher has embedded; empty in other
    records.
    """

    unit: str
    num_bytes: int
    sha256: str
    num_rows: int
    segments: tuple[Segment, ...]
    index: dict
    provenance: dict = field(default_factory=dict)
    part: int | None = None
    replaces: str = ""
    frames_sha256: str = ""

    @property
    def keys(self) -> list[str]:
        """The keys of the rows, in order."""
        return [key for segment in self.segments for key in segment.keys]

    @property
    def video_uids(self) -> list[str]:
        return [segment.video_uid for segment in self.segments]


def record_of(
    unit: str, encoded: Encoded, sha256: str, segments: Sequence[Segment], num_rows: int, provenance: dict
) -> Record:
    """The record of a shard. sha256: of its bytes."""
    return Record(unit, len(encoded.data), sha256, num_rows, tuple(segments), encoded.index, provenance)


def record_document(record: Record, planned: PlannedUnit | None = None) -> dict:
    """The fields of a record's document. planned: the unit as it was planned, if it was."""
    document = {
        "unit": record.unit,
        "num_bytes": record.num_bytes,
        "sha256": record.sha256,
        "num_rows": record.num_rows,
        "segments": [segment_document(segment) for segment in record.segments],
        "index": unpacked(record.index),
        "provenance": record.provenance,
    }
    document |= {name: value for name in ("replaces", "frames_sha256") if (value := getattr(record, name))}
    if record.replaces or "sizes" in record.index:  # "sizes": of members of a tar, in place of their offsets
        document["format_version"] = FORMAT_VERSION_2
    return document if planned is None else document | {"planned": planned_document(planned, record.segments)}


def segment_document(segment: Segment) -> dict:
    return documents.to_fields(segment)


def segment_from(fields: dict) -> Segment:
    """The segment with these fields. Errors of documents.as_damaged_error."""
    check_uid(fields["video_uid"])
    check_fingerprint(fields["fingerprint"])
    return validate_types(Segment(**{**parse_arrays(fields), "time_base": parse_list(fields["time_base"])}))


def record_paths(folder: StoredPath) -> list[StoredPath]:
    """The files of a folder of records, in order of units."""
    return folder.list(".json")


def current(records: dict[str, Record]) -> dict[str, Record]:
    """The records without those of units that others replace: an interrupted removal has not deleted them yet."""
    replaced = {record.replaces for record in records.values()} - {""}
    return {unit: record for unit, record in records.items() if unit not in replaced} if replaced else records


def read_records(folder: StoredPath) -> dict[str, Record]:
    """unit name -> record, of all records in a folder. DamagedError as in read_record()."""
    return {path.stem: read_record(path) for path in record_paths(folder)}


def read_record(path: StoredPath) -> Record:
    """The record in a file. DamagedError if it cannot be read, contradicts itself, or has another unit's name."""
    record = record_from(documents.read(path, with_arrays=True), str(path))
    if record.unit != path.stem:
        raise DamagedError(f"{path} is the record of unit {record.unit!r}: it was renamed or copied")
    return record


def record_from(document: dict, name: str) -> Record:
    """The record in a document. DamagedError, with the document's name, if it is invalid or contradicts itself.

    Of `planned`, which only a rebuilt plan and verification need, nothing is looked at but the part, and whether all
    segments are there that it takes for committed.
    """
    with documents.as_damaged_error(name):
        if "replaces" in document and document.get("format_version") == FORMAT_VERSION:
            raise ValueError(f"a record that replaces another has another format version than {FORMAT_VERSION}")
        names = ("unit", "num_bytes", "sha256", "num_rows")
        record = Record(
            **{field: document[field] for field in names},
            segments=tuple(segment_from(segment) for segment in parse_list(document["segments"])),
            index=packed(document["index"]),
            provenance=unpacked(document["provenance"]),
            part=check_part(document["planned"]["part"]) if "planned" in document else None,
            replaces=document.get("replaces", ""),
            frames_sha256=document.get("frames_sha256", ""),
        )
        _check(validate_types(record))
        if "planned" in document:
            check_nothing_lost(document["planned"], record.segments)
    return record


def read_planned(path: StoredPath) -> PlannedUnit | None:
    """The unit as it was planned, from its record; None if it was not planned. DamagedError as in read_record()."""
    return check_record(documents.read(path, with_arrays=True), str(path))


def check_record(document: dict, name: str) -> PlannedUnit | None:
    """The unit as it was planned, from the document of a record of which everything is checked. Errors as there."""
    record = record_from(document, name)
    with documents.as_damaged_error(name):
        return planned_from(document["planned"], record.unit, record.segments) if "planned" in document else None


def _check(record: Record) -> None:
    """ValueError if a record contradicts itself."""
    check_unit(record.unit)
    if record.replaces and check_unit(record.replaces) == record.unit:
        raise ValueError("it replaces itself")
    check_sha256(record.sha256)
    if record.frames_sha256:
        check_sha256(record.frames_sha256)
    if not 0 <= record.num_rows <= record.num_bytes:
        raise ValueError(f"{record.num_rows} rows cannot be in {record.num_bytes} bytes")
    if record.segments and record.num_rows != sum(segment.num_rows for segment in record.segments):
        raise ValueError(f"its segments do not have {record.num_rows} rows")
    for segment in record.segments:
        _check_segment(segment)


def _check_segment(segment: Segment) -> None:
    uid, frames, k = segment.video_uid, segment.frame_index, segment.request_k
    if (
        frames.ndim != 1
        or k.ndim != 1
        or not (
            segment.pts.shape == frames.shape and segment.request_status.shape == segment.request_row.shape == k.shape
        )
    ):
        raise ValueError(f"columns of {uid} have different lengths")
    if segment.views.ndim != 2 or segment.views.shape[1] != len(VIEW_FIELDS) or not len(segment.views):
        raise ValueError(f"views of {uid} have shape {segment.views.shape}")
    if (segment.views < _LEAST_VIEW).any() or not _INTERPOLATIONS.issuperset(segment.views[:, 5].tolist()):
        raise ValueError(f"{uid} has invalid crop boxes or interpolations")
    if len(frames) and not 0 <= frames[0] <= frames[-1] <= MAX_FRAME_INDEX:
        raise ValueError(f"frame indices of {uid} are not in 0 to {MAX_FRAME_INDEX}")
    if min(segment.time_base) < 1 or max(segment.time_base) > MAX_TIME_BASE:
        raise ValueError(f"invalid time base of {uid}: {segment.time_base}")
    _check_times(segment)
    if len(k) and not _is_answered(segment.request_status, segment.request_row, len(frames)):
        raise ValueError(f"requests of {uid} do not match its rows")


def _is_answered(status: np.ndarray, row: np.ndarray, num_rows: int) -> bool:
    """Whether all statuses are known, and each request that is ok has one of the rows, and no other has one."""
    if status.max() > _LAST_STATUS or row.min() < -1 or row.max() >= num_rows:
        return False
    return bool(((status == _OK) == (row >= 0)).all())


def _check_times(segment: Segment) -> None:
    columns = (segment.frame_index, segment.pts, segment.request_k)
    if any((column[1:] <= column[:-1]).any() for column in columns):
        raise ValueError(f"rows or requests of {segment.video_uid} are not in order of time")
    ends = [int(column[end]) for column in columns if len(column) for end in (0, -1)]
    if any(abs(ticks) >= MAX_TICKS for ticks in (segment.first_pts, *ends)):
        raise ValueError(f"times of {segment.video_uid} are beyond {MAX_TICKS} ticks")
