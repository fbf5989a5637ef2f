"""Where the rows of a tar shard are, as its commit record has it: the sizes of members, from which offsets follow.

Records of earlier versions have the offsets too. Neither is trusted.
"""

import numpy as np

from embedonce.cache.backends.shard_format import ShardShape
from embedonce.cache.backends.tar_layout import BLOCK, EXTENSIONS, FRAME_MEMBERS, LOGITS_MEMBERS, TEACHER_MEMBERS
from embedonce.cache.errors import DamagedError


def index_of(headers: dict[str, list[int]], sizes: dict[str, list[int]]) -> dict:
    """The index of a shard. headers, sizes: member type -> bytes of each row's member, before and of its data."""
    return {
        "headers": {member_type: _shortened(values) for member_type, values in headers.items()},
        "sizes": {member_type: _shortened(values) for member_type, values in sizes.items()},
    }


def _shortened(values: list[int]) -> int | list[int]:
    """One number if all are equal."""
    return values[0] if len(set(values)) == 1 else values


def places_from(index: dict, shape: ShardShape, location: str) -> dict[str, np.ndarray]:
    """member type -> (N, 2) int64 offset and size of the data by row, in the order of a row's members.

    DamagedError, with this location, if these are not whole members inside the file.
    """
    places = _listed(index["members"], shape, location) if "members" in index else _computed(index, shape, location)
    for member_type, table in places.items():
        offset, size = table.astype(np.float64).T  # sums that do not overflow
        if ((offset < BLOCK) | (size < 0) | (offset + size > shape.num_bytes)).any():
            raise DamagedError(f"{location} has a {member_type} member outside of the file, by its record")
    return places


def _listed(members, shape: ShardShape, location: str) -> dict[str, np.ndarray]:
    """Offsets and sizes that are written out."""
    return {name: _table(members[name], (shape.num_rows, 2), location) for name in _types(members, location)}


def _computed(index: dict, shape: ShardShape, location: str) -> dict[str, np.ndarray]:
    """Members follow one another, each with its header before it and padded to whole blocks."""
    names = _types(index.get("sizes"), location)
    if names != _types(index.get("headers"), location):
        raise DamagedError(f"{location} has headers of other members than sizes in its record")
    if shape.num_rows * len(names) * BLOCK > shape.num_bytes:
        raise DamagedError(f"{location} cannot hold {shape.num_rows} rows in {shape.num_bytes} bytes")
    headers, sizes = (
        np.stack([_column(index[field][name], shape, location) for name in names], axis=1)
        for field in ("headers", "sizes")
    )
    lengths = headers + sizes + -sizes % BLOCK
    if (headers < BLOCK).any() or lengths.sum(dtype=np.float64) > shape.num_bytes:
        raise DamagedError(f"{location} has members that do not fit into it, by its record")
    ends = lengths.cumsum().reshape(lengths.shape)
    offsets = ends - lengths + headers
    return {name: np.stack([offsets[:, i], sizes[:, i]], axis=1) for i, name in enumerate(names)}


def _types(field, location: str) -> list[str]:
    """The types of members that a field of the index is about, in the order of a row's members."""
    if not isinstance(field, dict) or set(field) not in (FRAME_MEMBERS, LOGITS_MEMBERS, TEACHER_MEMBERS):
        raise DamagedError(f"{location} has no valid member offsets in its record")
    return [name for name in EXTENSIONS if name in field]


def _column(value, shape: ShardShape, location: str) -> np.ndarray:
    """(N,) int64, from one number for all rows or one for each, from 0 to the size of the file."""
    column = np.broadcast_to(_table(value, (), location), shape.num_rows) if type(value) is int else None
    if column is None:
        column = _table(value, (shape.num_rows,), location)
    if ((column < 0) | (column > shape.num_bytes)).any():
        raise DamagedError(f"{location} has a member of an impossible size in its record")
    return column


def _table(values, shape: tuple[int, ...], location: str) -> np.ndarray:
    """Integers of 64 bits as an array of this shape."""
    table = np.array(values, dtype=object)
    if table.shape != shape or not all(type(number) is int for number in table.flat):
        raise DamagedError(f"{location} has no valid offsets of members in its record")
    return table.astype(np.int64)
