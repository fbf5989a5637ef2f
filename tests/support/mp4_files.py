"""MP4 and QuickTime files whose boxes are read and changed byte by byte."""

import struct
from collections.abc import Callable

CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")
TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def box(kind: bytes, content: bytes, is_long: bool = False) -> bytes:
    """One box; is_long: with a size of 64 bits."""
    if is_long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


def table(*numbers: int, version: int = 0, kind: str = "I") -> bytes:
    """The content of a full box: version and flags, then these numbers."""
    return bytes([version, 0, 0, 0]) + struct.pack(f">{len(numbers)}{kind}", *numbers)


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """(kind, content) of the boxes beside each other."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = 16 if size == 1 else 8
        size = struct.unpack_from(">Q", data, at + 8)[0] if size == 1 else size or len(data) - at
        found.append((kind, data[at + start : at + size]))
        at += size
    return found


def content_of(data: bytes, *path: bytes) -> bytes:
    """The content of the first box at the end of this path of kinds."""
    for kind in path:
        data = next(content for found, content in boxes(data) if found == kind)
    return data


def edited(data: bytes, *path: bytes, edit: Callable[[bytes], bytes | None]) -> bytes:
    """The boxes, with the contents of those at the end of this path replaced by edit(content); without them if None."""
    whole = b""
    for kind, content in boxes(data):
        if kind != path[0]:
            whole += box(kind, content)
            continue
        new = edited(content, *path[1:], edit=edit) if len(path) > 1 else edit(content)
        whole += b"" if new is None else box(kind, new)
    return whole
