"""JSON from files that are not trusted: its cost is bounded before it is parsed, and its values are ordinary ones.

Knows JSON text; nothing of what it means. Every reader of JSON in the cache and beyond it comes here.
"""

import json
import math
import re

MAX_DEPTH = 32  # of lists and objects in each other
SPARE_BYTES = 64 << 20  # that any document may take when it is parsed
BYTES_PER_BYTE = 16  # and for each byte of its text besides: ten times is usual for lists of numbers
# Bytes that CPython takes for an object, a list, a value and half of a string, as these marks count them
_COSTS = {b"{": 140, b"[": 72, b",": 36, b'"': 26}
_LONG_NUMBER = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}")  # may be no 64-bit integer, or not finite


def loads(data: bytes, object_pairs_hook=None):
    """The value of JSON in UTF-8. ValueError, in words, where it is anything else, or made to break its reader:
    nested too deeply, of too many parts for its length, with numbers that are not finite or beyond 64 bits, or with
    halves of surrogate pairs (but for the escaped bytes of a file name, U+DC80 to U+DCFF).

    object_pairs_hook: as json.loads has it.
    """
    _refuse_bulky(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from error
    parse_int, parse_float = (_integer, _float) if _LONG_NUMBER.search(data) else (None, None)
    try:
        value = json.loads(
            text,
            parse_constant=_refuse,
            parse_int=parse_int,
            parse_float=parse_float,
            object_pairs_hook=object_pairs_hook,
        )
    except RecursionError:
        raise ValueError("its lists lie too deep in each other") from None
    _check_depth(value)
    if b"\\u" in data:
        _check_texts(value)
    return value


def is_text(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair but the escaped bytes of a file name, U+DC80 to U+DCFF."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _refuse_bulky(data: bytes) -> None:
    """ValueError where parsing would take out of all proportion to the text."""
    taken = sum(cost * data.count(mark) for mark, cost in _COSTS.items())
    if taken > SPARE_BYTES + BYTES_PER_BYTE * len(data):
        raise ValueError(f"its {len(data)} bytes have more parts than any document has")


def _refuse(constant: str):
    raise ValueError(f"{constant} is no number")


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"{digits[:20]}… is beyond 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is not finite")
    return value


def _check_depth(value) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [part for item in level if isinstance(item, (list, dict)) for part in _containers(item)]
        if not level:
            return
    raise ValueError(f"its lists lie more than {MAX_DEPTH} deep in each other")


def _containers(value: list | dict) -> list:
    items = value.values() if isinstance(value, dict) else value
    kinds = set(map(type, items))
    return [item for item in items if isinstance(item, (list, dict))] if {list, dict} & kinds else []


def _check_texts(value) -> None:
    """ValueError where a text holds half of a surrogate pair that stands for no byte of a file name."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and not is_text(item):
            raise ValueError(f"{item[:40]!a} is no text: it holds half of a surrogate pair")
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list) and set(map(type, item)) - {int, float}:
            waiting += item
