"""The files of a search index, called parts: the vectors of some shards each, which are known by their SHA-256.

A part that was changed since it was written is used only if its bytes are right.
"""

import contextlib
import logging
import os
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embedonce.cache import commit, documents
from embedonce.cache.errors import DamagedError
from embedonce.cache.records import Record
from embedonce.cache.stores.registry import stored_path
from embedonce.cache.write_errors import explained
from embedonce.pipeline.files import partial_files
from embedonce.pipeline.files.disk_space import check_space
from embedonce.pipeline.progress import Progress

log = logging.getLogger(__name__)

HEAD, SUFFIX = "index.json", ".f16"
APPROXIMATE = "rows.faiss"  # the approximate index of the same rows, if there is one
VALUE_BYTES = np.dtype(np.float16).itemsize

ReadVectors = Callable[[str], np.ndarray]  # unit -> (n, D) float16


class UnitVectors(NamedTuple):
    """The vectors of one shard. sha256: of the shard; crc32: of the vectors' bytes."""

    sha256: str
    num_rows: int
    crc32: int


@dataclass(frozen=True)
class Part:
    """A file of vectors, in the order of its units. modified_ns: when it was written."""

    path: Path
    modified_ns: int
    units: tuple[UnitVectors, ...]

    @property
    def num_rows(self) -> int:
        return sum(unit.num_rows for unit in self.units)

    def vectors(self, width: int) -> np.ndarray:
        """(n, D) float16, memory-mapped. Changes of the array are not written to the file."""
        return np.memmap(self.path, np.float16, "c", shape=(self.num_rows, width))


def discard(part: Part) -> None:
    """Delete a damaged part, so that it is made again when the index is opened next."""
    log.warning("%s is damaged: its vectors are read from the cache again", part.path)
    commit.remove(part.path)


def stored_parts(folder: Path, width: int) -> list[Part]:
    """The intact parts of an index; a warning for what is damaged."""
    path = stored_path(folder) / HEAD
    if not path.exists():
        return []
    try:
        document = documents.read(path)
        with documents.as_damaged_error(str(path)):
            parts = [_part_from(folder, fields) for fields in documents.parse_list(document["parts"])]
    except DamagedError as error:
        log.warning("%s; the search index is made again", error)
        return []
    return [part for part in parts if _is_intact(part, width)]


def _part_from(folder: Path, fields: dict) -> Part:
    name = fields["file"]
    if Path(name).name != name or not name.endswith(SUFFIX):
        raise ValueError(f"{name!r} is not the name of a file of vectors")
    units = tuple(UnitVectors(str(sha), int(rows), int(crc)) for sha, rows, crc in fields["units"])
    return Part(folder / name, int(fields["modified_ns"]), units)


def _is_intact(part: Part, width: int) -> bool:
    """Whether a part has its size and, if it was changed or copied since it was written, its bytes."""
    with contextlib.suppress(OSError):
        status = part.path.lstat()
        has_its_size = part.num_rows and status.st_size == part.num_rows * width * VALUE_BYTES
        if has_its_size and (status.st_mtime_ns == part.modified_ns or _has_its_bytes(part, width)):
            return True
    log.warning("%s of the search index is missing or damaged; it is made again", part.path)
    return False


def _has_its_bytes(part: Part, width: int) -> bool:
    vectors, stops = part.vectors(width), np.cumsum([unit.num_rows for unit in part.units])
    return all(
        zlib.crc32(vectors[stop - unit.num_rows : stop].data) == unit.crc32
        for unit, stop in zip(part.units, stops.tolist(), strict=True)
    )


def shards_of(parts: Sequence[Part]) -> set[str]:
    return {unit.sha256 for part in parts for unit in part.units}


def add_parts(
    folder: Path, parts: list[Part], records: Sequence[Record], width: int, read: ReadVectors, rows_per_part: int
) -> None:
    """Write the vectors of these units in further parts, which are added to the list."""
    total = sum(record.num_rows for record in records)
    check_space(folder, total * width * VALUE_BYTES, "choose another folder with --index-dir")
    keep_parts(folder, parts)
    with Progress(total, "search index", "frames") as progress:
        for group in _groups(records, rows_per_part):
            parts.append(_write_part(folder, group, width, read, progress))
            _publish(folder, parts)


def keep_parts(folder: Path, parts: Sequence[Part]) -> None:
    """Delete all other parts of an index, and the approximate index, which may have their rows."""
    _publish(folder, parts)
    _delete_unlisted(folder, parts)


def _groups(records: Sequence[Record], rows_per_part: int) -> Iterator[list[Record]]:
    """The records in groups of about so many rows."""
    group: list[Record] = []
    for record in records:
        group.append(record)
        if sum(one.num_rows for one in group) >= rows_per_part:
            yield group
            group = []
    if group:
        yield group


def _write_part(folder: Path, records: Sequence[Record], width: int, read: ReadVectors, progress: Progress) -> Part:
    path, units = folder / f"{secrets.token_hex(8)}{SUFFIX}", []
    try:
        with explained(path), partial_files.partial_path(path).open("wb") as file:
            for record in records:
                vectors = np.ascontiguousarray(read(record.unit), np.float16)
                if vectors.shape != (record.num_rows, width):
                    raise ValueError(f"unit {record.unit} has vectors of shape {vectors.shape}")
                file.write(vectors.data)
                units.append(UnitVectors(record.sha256, record.num_rows, zlib.crc32(vectors.data)))
                progress.update(record.num_rows)
        with explained(path):
            partial_files.publish(path)
    finally:
        partial_files.partial_path(path).unlink(missing_ok=True)
    return Part(path, path.stat().st_mtime_ns, tuple(units))


def _publish(folder: Path, parts: Sequence[Part]) -> None:
    listed = [
        {"file": part.path.name, "modified_ns": part.modified_ns, "units": [list(unit) for unit in part.units]}
        for part in parts
    ]
    commit.replace(folder / HEAD, documents.serialize_with_checksum({"parts": listed}))


def _delete_unlisted(folder: Path, parts: Sequence[Part]) -> None:
    """Delete what has vectors of other rows: parts that are no longer used, and what an interrupted run left."""
    listed = {part.path.name for part in parts}
    for name in os.listdir(folder):
        if name.removesuffix(partial_files.PARTIAL).endswith((SUFFIX, APPROXIMATE)) and name not in listed:
            commit.remove(folder / name)
