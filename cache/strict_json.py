"""Parses JSON that is not trusted: memory is bounded before parsing, and values that are not plain JSON are refused.

All JSON of this program is read by this module.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NoReturn

import numpy as np

from embedonce.cache import number_lists

MAX_DEPTH = 32  # of nested lists and objects
SPARE_BYTES = 64 << 20  # memory that parsing any document may take
BYTES_PER_BYTE = 16  # and more per byte of text; ten are usual for lists of numbers
# Bytes of memory that CPython takes per object, list, value and half of a string, counted by these characters
_COSTS = {b"{": 140, b"[": 72, b",": 36, b'"': 26}
_STEPS = {ord(mark): step for marks, step in (("[{", 1), ("]}", -1)) for mark in marks}  # of depth
_OTHERS = bytes(set(range(256)) - set(_STEPS) - {ord('"')})
_DIGITS_AS_ZERO = bytes.maketrans(b"0123456789", 10 * b"0")
_LONG_INTEGER = 19 * b"0"  # possibly beyond 64 bits


def loads(data: bytes, object_pairs_hook: Callable[[list], object] | None = None):
    """The value of JSON in UTF-8.

    ValueError if it is not JSON, is nested too deeply, has too many parts for its length, numbers that are not finite
    or beyond 64 bits, or halves of surrogate pairs (except the escaped bytes of a file name, U+DC80 to U+DCFF).
    object_pairs_hook: as in json.loads.
    """
    return _joined([data], [], object_pairs_hook)


def loads_with_arrays(data: bytes):
    """The same, with (n,) int64 arrays in place of long lists of integers that are values of an object's fields."""
    try:
        return _joined(*number_lists.cut(data))
    except ValueError:
        return loads(data)  # which tells where in the text the problem is


def _joined(pieces: list[bytes], arrays: list[np.ndarray], object_pairs_hook: Callable[[list], object] | None = None):
    """The value of JSON that has these arrays between its pieces."""
    data = number_lists.PLACE.join(pieces)
    _refuse_bulky(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from error
    depth = _depth(b"[]".join(pieces))  # before the value takes memory
    has_long_integers = _LONG_INTEGER in data.translate(_DIGITS_AS_ZERO)  # regular expressions take ten times as long
    try:
        value = json.loads(
            text,
            parse_constant=partial(_constant, iter(arrays)) if arrays else _refuse,
            parse_int=_integer if has_long_integers else None,
            parse_float=_float,
            object_pairs_hook=object_pairs_hook,
        )
    except RecursionError:
        raise ValueError("its lists are nested too deeply") from None
    if depth > MAX_DEPTH:
        raise ValueError(f"its lists are nested more than {MAX_DEPTH} deep")
    if b"\\u" in data:
        _check_texts(value)
    return value


def is_text(text: str) -> bool:
    """Whether a string has no half of a surrogate pair, except escaped bytes of a file name, U+DC80 to U+DCFF."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _refuse_bulky(data: bytes) -> None:
    """ValueError if parsing would take too much memory for the length of the text."""
    if len(data) * max(_COSTS.values()) <= SPARE_BYTES:
        return
    marks = np.frombuffer(data, np.uint8)
    taken = sum(cost * np.count_nonzero(marks == ord(mark)) for mark, cost in _COSTS.items())
    if taken > SPARE_BYTES + BYTES_PER_BYTE * len(data):
        raise ValueError(f"its {len(data)} bytes have more parts than any document")


def _constant(arrays: Iterator[np.ndarray], name: str) -> np.ndarray:
    """The next of the arrays that were cut out, in the place of one."""
    return next(arrays) if name == number_lists.PLACE.decode() else _refuse(name)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"{digits[:20]}… is beyond 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is not finite")
    return value


def _depth(data: bytes) -> int:
    """How deep lists and objects are nested; any number if this is not JSON.

    Nothing but brackets and quotes is kept, so that there are few different pieces, and Python has most of them once.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(data.translate(None, _OTHERS).split(b'"')[::2])
    return max(itertools.accumulate(map(_STEPS.__getitem__, outside_strings)), default=0)


def _check_texts(value) -> None:
    """ValueError if a string has half of a surrogate pair that is not an escaped byte of a file name."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and not is_text(item):
            raise ValueError(f"{item[:40]!a} is not text: it has half of a surrogate pair")
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list) and set(map(type, item)) - {int, float}:
            waiting += item
