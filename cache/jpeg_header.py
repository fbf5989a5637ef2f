"""Checks that bytes are a stored frame, from JPEG markers only: nothing is decoded, so it takes little memory.

Stored frames are baseline JPEGs with one scan. Progressive JPEGs take memory for all their coefficients, and time for
each of their scans, of which a small file can hold thousands.
"""

import re

from embedonce.cache.limits import MAX_STORED_PIXELS

MAX_ASPECT = 16  # of a canonical frame: its long side over its short one
_SIZES = {0xC0, 0xC1}  # SOF0, SOF1: sequential, Huffman-coded
_OTHER_SIZES = {0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)  # except stuffed bytes and restarts


def check_header(jpeg: bytes, short_side: int | None = None) -> None:
    """ValueError unless bytes are a baseline JPEG with one scan and no more pixels than a stored frame has.

    short_side: of the cache's canonical frames, in pixels; None if it is unknown.
    """
    size, at = None, 2
    if jpeg[:2] != b"\xff\xd8":
        raise ValueError("it does not begin like a JPEG")
    while True:
        match = _MARKER.match(jpeg, at)
        if match is None or match[1][0] == _END:
            raise ValueError("it ends before its pixels, or inside its header")
        marker, start = match[1][0], match.end()
        if marker in _OTHER_SIZES:
            raise ValueError("it is progressive, lossless or arithmetic-coded, which stored frames never are")
        if marker in _SIZES:
            if size is not None:
                raise ValueError("it has two sizes")
            size = _size(jpeg[start : start + 7])
        at = start + int.from_bytes(jpeg[start : start + 2], "big")
        if marker == _SCAN:
            break
    if size is None:
        raise ValueError("it has no size")
    _check_size(*size, short_side)
    last = _MARKER.search(jpeg, at)
    if last is not None and last[1][0] != _END:
        raise ValueError("it has several scans, which stored frames never have")


def _size(segment: bytes) -> tuple[int, int]:
    """(height, width) of a frame header that begins with its length."""
    height, width = int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[5:7], "big")
    if not height or not width:
        raise ValueError("it has no size")
    return height, width


def _check_size(height: int, width: int, short_side: int | None) -> None:
    is_large = height * width > MAX_STORED_PIXELS
    if short_side is not None:
        is_large |= min(height, width) > short_side or max(height, width) > (MAX_ASPECT + 1) * short_side
    if is_large:
        raise ValueError(f"it claims {width}x{height} pixels, more than a stored frame of this cache has")
