"""Holds what a back end's index has per row as arrays of a few bytes a row, until a shard is opened.

An index is JSON values; as Python objects, its integers would take more memory than all the rest of a record.
"""

import itertools

import numpy as np


def packed(value):
    """The same JSON value with an array in place of each list of integers, or of lists of integers of one length.

    Lists of integers may be arrays already.
    """
    if isinstance(value, dict):
        return {name: packed(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return _narrowed(value)
    if not isinstance(value, list) or not value:
        return value
    types = set(map(type, value))
    if types == {list} and len(set(map(len, value))) == 1:
        types = set(map(type, itertools.chain.from_iterable(value)))
    if types != {int}:
        return [packed(part) for part in value]
    return _narrowed(np.array(value))


def _narrowed(array: np.ndarray) -> np.ndarray:
    """The same integers in as few bytes as they need."""
    return array.astype(np.promote_types(np.min_scalar_type(array.min()), np.min_scalar_type(array.max())))


def unpacked(value):
    """The JSON value that packed() was called with."""
    if isinstance(value, dict):
        return {name: unpacked(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(map(unpacked, value)) if isinstance(value, list) else value
