"""The search index of a cache: the vectors of all its rows in flat files, which are read through memory maps.

It is kept outside of the cache. When the cache has grown, only new shards are read, into a new part. A part is made
again if it is damaged, and if shards were removed from the cache, so that nothing is left of removed videos.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedonce.cache.records import Record
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.search.brute_force import take
from embedonce.pipeline.search.index_parts import (
    Part,
    ReadVectors,
    add_parts,
    keep_parts,
    shards_of,
    stored_parts,
)

COMMAND = "search-cache"


@dataclass(frozen=True)
class RowIndex:
    """N rows of a cache and their vectors.

    units: names of the units, in the order of their rows. starts: (U + 1,) int64, the first row of each unit, and N.
    blocks: (n, D) float16 memory maps of consecutive rows. checksums: of each unit, with its part.
    """

    units: tuple[str, ...]
    starts: np.ndarray
    blocks: tuple[np.ndarray, ...]
    checksums: tuple[tuple[Part, int], ...]

    @property
    def num_rows(self) -> int:
        return int(self.starts[-1])

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """(m, D) float16 of rows (m,), in any order."""
        return take(self.blocks, rows)

    def place(self, row: int) -> tuple[str, int]:
        """(unit, row in its shard) of a row."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.units[number], row - int(self.starts[number])

    def damaged_part(self, rows: np.ndarray) -> Part | None:
        """A part in which a unit with one of these rows has other bytes than were written; None if there is none."""
        for number in np.unique(np.searchsorted(self.starts, rows, side="right") - 1):
            part, crc32 = self.checksums[number]
            if zlib.crc32(self.vectors(np.arange(*self.starts[number : number + 2])).data) != crc32:
                return part
        return None


def open_index(
    folder: Path, records: Mapping[str, Record], width: int, read: ReadVectors, rows_per_part: int
) -> RowIndex:
    """The index in a folder, which is created, after adding what it lacks and removing what the cache no longer has.

    records: of the units to search. width: D. read: the vectors of a unit, in the order of its rows. rows_per_part:
    after about so many rows a part is published, so that an interrupted run is continued there. StorageError if the
    folder cannot be written, BusyError while another process writes it, errors of read().
    """
    committed = {record.sha256: unit for unit, record in records.items() if record.num_rows}
    parts = stored_parts(folder, width)
    if shards_of(parts) != committed.keys():
        with sole_writer(folder, COMMAND):
            parts = [part for part in stored_parts(folder, width) if committed.keys() >= shards_of([part])]
            missing = committed.keys() - shards_of(parts)
            units = sorted(committed[digest] for digest in missing)
            add_parts(folder, parts, [records[unit] for unit in units], width, read, rows_per_part)
    return _opened(parts, committed, width)


def forget_removed(folder: Path, records: Mapping[str, Record], width: int) -> None:
    """Delete the parts of an index that have rows of shards that are no longer in the cache. Nothing is read or added.

    Arguments and errors as of open_index().
    """
    committed = {record.sha256 for record in records.values()}
    if committed >= shards_of(stored_parts(folder, width)):
        return
    with sole_writer(folder, COMMAND):
        keep_parts(folder, [part for part in stored_parts(folder, width) if committed >= shards_of([part])])


def _opened(parts: Sequence[Part], committed: Mapping[str, str], width: int) -> RowIndex:
    """The rows of all parts. committed: SHA-256 of a shard -> unit."""
    stored = [(part, unit) for part in parts for unit in part.units]
    return RowIndex(
        units=tuple(committed[unit.sha256] for _, unit in stored),
        starts=np.cumsum([0, *(unit.num_rows for _, unit in stored)]),
        blocks=tuple(part.vectors(width) for part in parts),
        checksums=tuple((part, unit.crc32) for part, unit in stored),
    )
