"""Commit records: the truth about which shards exist and what each holds.

Knows the record's document; the shard it speaks of is somebody else's to write and to open.
"""

from dataclasses import dataclass, field
from pathlib import Path

from cache import documents
from cache.errors import DamagedError
from cache.schema import FORMAT_VERSION, Encoded, Segment


@dataclass(frozen=True)
class Record:
    """What was committed for one unit. A unit without rows has no shard: its num_bytes is 0.

    segments: the rows and requests (empty in the record of logits, whose rows are the frame shard's).
    index: what the back end needs to reach rows. provenance: who made it, with what.
    """

    unit: str
    num_bytes: int
    sha256: str
    num_rows: int
    segments: tuple[Segment, ...]
    index: dict
    provenance: dict = field(default_factory=dict)


def record_of(unit: str, encoded: Encoded, sha256: str, segments, num_rows: int, provenance: dict) -> Record:
    return Record(unit, len(encoded.data), sha256, num_rows, tuple(segments), encoded.index, provenance)


def record_document(record: Record) -> dict:
    return {
        "format_version": FORMAT_VERSION,
        "unit": record.unit,
        "num_bytes": record.num_bytes,
        "sha256": record.sha256,
        "num_rows": record.num_rows,
        "segments": [documents.segment_document(segment) for segment in record.segments],
        "index": record.index,
        "provenance": record.provenance,
    }


def read_records(folder: Path) -> dict[str, Record]:
    """Every record in folder by unit name. DamagedError where one cannot be read."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}


def _read(path: Path) -> Record:
    document = documents.parse(path.read_bytes(), str(path))
    with documents.reading(str(path)):
        names = ("unit", "num_bytes", "sha256", "num_rows", "index", "provenance")
        fields = {name: document[name] for name in names}
        segments = tuple(documents.segment_from(segment, str(path)) for segment in document["segments"])
    if fields["unit"] != path.stem:
        raise DamagedError(f"{path} speaks of unit {fields['unit']!r}: it was renamed or copied")
    return Record(**fields, segments=segments)
