"""The boxes of an MP4 or QuickTime file: where its header (moov) is, and what that contains. Reads a few bytes.

Section numbers: ISO/IEC 14496-12. Every size and count is compared with what is there before anything is allocated.
"""

from typing import BinaryIO

import numpy as np

MAX_HEADER = 256_000_000  # bytes of moov: about 12 million frames
MAX_BOXES = 256  # beside each other: files whose header lists all frames have few
FRAGMENTS = {b"moof", b"mvex"}  # frames that the header does not list


class Mp4Error(Exception):
    """The header is damaged, or of a kind that is not read here. The message gives the reason in a few words."""


def read_header(file: BinaryIO, num_bytes: int) -> bytes:
    """The content of moov. file: seekable, of num_bytes. Mp4Error if there is not exactly one whole moov."""
    found: list[tuple[int, int]] = []
    position = 0
    for _ in range(MAX_BOXES):
        if position == num_bytes:
            break
        file.seek(position)
        kind, start, end = _box(file.read(16), num_bytes - position)
        if kind in FRAGMENTS:
            raise Mp4Error("it is fragmented")
        if kind == b"moov":
            found.append((position + start, position + end))
        position += end
    if position != num_bytes or len(found) != 1:
        raise Mp4Error("it does not have exactly one header among its boxes")
    start, end = found[0]
    if end - start > MAX_HEADER:
        raise Mp4Error(f"its header is longer than {MAX_HEADER} bytes")
    file.seek(start)
    data = file.read(end - start)
    if len(data) != end - start:
        raise Mp4Error("its header is truncated")
    return data


def children(data: memoryview) -> dict[bytes, list[memoryview]]:
    """The contents of the boxes in a box, by their kind, in order. Mp4Error if their sizes do not add up."""
    found: dict[bytes, list[memoryview]] = {}
    at = 0
    for _ in range(MAX_BOXES):
        if at == len(data):
            return found
        kind, start, end = _box(data[at : at + 16].tobytes(), len(data) - at)
        found.setdefault(kind, []).append(data[at + start : at + end])
        at += end
    raise Mp4Error("it has too many boxes")


def only(boxes: dict[bytes, list[memoryview]], kind: bytes) -> memoryview:
    """The content of the only box of this kind. Mp4Error if there are none or several."""
    found = boxes.get(kind, [])
    if len(found) != 1:
        raise Mp4Error(f"it has {len(found)} boxes of type {kind.decode('latin-1')} where one is due")
    return found[0]


def number(box: memoryview, at: int, size: int = 4) -> int:
    """The unsigned number of `size` bytes at this position. Mp4Error if the box ends before."""
    if at + size > len(box):
        raise Mp4Error("a box of its header ends too early")
    return int.from_bytes(box[at : at + size], "big")


def rows(box: memoryview, dtype, start: int = 8) -> np.ndarray:
    """The table of a full box, whose number of rows stands before it. Mp4Error if the box is shorter than that."""
    count, kind = number(box, start - 4), np.dtype(dtype)
    if count * kind.itemsize > len(box) - start:
        raise Mp4Error("a table of its header is longer than its box")
    return np.frombuffer(box, kind, count, start)


def _box(head: bytes, available: int) -> tuple[bytes, int, int]:
    """(kind, start and end of the content from the beginning of the box), section 4.2. head: its first 16 bytes."""
    size, start = int.from_bytes(head[:4], "big"), 8
    if size == 1:
        size, start = int.from_bytes(head[8:16], "big"), 16
    if size == 0:
        size = available
    if not start <= size <= available or len(head) < start:
        raise Mp4Error("the sizes of its boxes do not add up")
    return head[4:8], start, size
