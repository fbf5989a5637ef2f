"""Cuts long lists of integers out of JSON and parses them into arrays, without a Python object per number.

Most of a record and of a plan part is such lists. What is left is short, and parsed as any JSON is.
"""

import itertools
import re

import numpy as np

PLACE = b"NaN"  # stands for a list that was cut out; no strict JSON has it as a value
_LIST = re.compile(rb'":\[([-\d][^]]{39,})\]')
# After a letter, the quote ends a string, and the colon makes that string a key. An opening quote has a mark or a space
# before it, an escaped one has a backslash. So a list that begins like this is never a part of a string.
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz_")
_MOST = 10**18  # longer numbers are left to the parser, which refuses those that do not fit 64 bits


def cut(data: bytes) -> tuple[list[bytes], list[np.ndarray]]:
    """(pieces of JSON, (n,) int64 arrays of the lists that were between them).

    Only lists that are the value of a key are cut out. If one of them is not written as plain JSON integers, nothing
    is: whoever parses it finds out whether it is valid.
    """
    pieces, lists, end = [], [], 0
    for found in _LIST.finditer(data):
        start = found.start()
        if start and data[start - 1] in _LETTERS:
            pieces.append(data[end : start + 2])
            lists.append(found[1])
            end = found.end()
    pieces.append(data[end:])
    arrays = _parsed(lists)
    if arrays is None or any(PLACE in piece for piece in pieces):
        return [data], []
    return pieces, arrays


def _parsed(lists: list[bytes]) -> list[np.ndarray] | None:
    """The numbers of each list; None if one of these is not written as JSON integers are, or very long."""
    if not lists:
        return []
    text = b",".join(lists)
    if not _are_integers(text):
        return None
    numbers = np.fromstring(text.decode(), np.int64, sep=",")  # what does not fit becomes the largest or smallest
    if numbers.max() >= _MOST or numbers.min() <= -_MOST:
        return None
    ends = itertools.accumulate(part.count(b",") + 1 for part in lists)
    bounds = itertools.pairwise(itertools.chain((0,), ends))
    return [numbers[start:end].copy() for start, end in bounds]  # so that each may be freed by itself


def _are_integers(text: bytes) -> bool:
    """Whether text is a list of JSON integers without spaces: each -?(0|[1-9][0-9]*)."""
    marks = np.frombuffer(b",%s," % text, np.uint8)
    is_digit, is_comma, is_minus = (marks >= ord("0")) & (marks <= ord("9")), marks == ord(","), marks == ord("-")
    leads_with_zero = ~is_digit[:-2] & (marks[1:-1] == ord("0")) & is_digit[2:]
    follows = is_digit[1:] | (is_comma[1:] & is_digit[:-1]) | (is_minus[1:] & is_comma[:-1])
    return bool(follows.all()) and not leads_with_zero.any()
