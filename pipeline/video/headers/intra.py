"""Intra-only codecs: every frame is decoded by itself, so that any of them may be skipped. Pure arithmetic on bytes.

Only codecs whose FFmpeg decoders keep nothing between frames, or whose packets show where they do not.
"""

from embedonce.pipeline.video.headers.bits import BitsError
from embedonce.pipeline.video.packets import PacketFacts

ALONE = PacketFacts(is_start=True, droppable=False)
JPEG_START, JPEG_END, JPEG_SCAN = 0xD8, 0xD9, 0xDA  # second bytes of markers, ITU-T T.81, table B.1
JPEG_QUANTIZATION, JPEG_HUFFMAN, JPEG_RESTART_INTERVAL = 0xDB, 0xC4, 0xDD
JPEG_FRAMES = {0xC0, 0xC1, 0xC2}
FFV1_KEY = 0x7F80  # what the first two bytes reach where the range coder's first bit is set (RFC 9043, section 3.8.1)


class IntraInspector:
    """ProRes, DNxHD, DV, JPEG 2000, PNG, HuffYUV, Ut Video and uncompressed pictures."""

    def __init__(self, _extradata: bytes):
        pass

    def look(self, data: bytes) -> PacketFacts:
        return ALONE


class Ffv1Inspector:
    """RFC 9043, section 4.4: the first bit of a frame is set if it depends on no earlier frame."""

    def __init__(self, _extradata: bytes):
        pass

    def look(self, data: bytes) -> PacketFacts:
        return PacketFacts(len(data) > 1 and int.from_bytes(data[:2], "big") >= FFV1_KEY, False)


class MjpegInspector:
    """Motion JPEG: decoders keep tables between frames, so every frame must contain the same ones."""

    def __init__(self, _extradata: bytes):
        self._tables: tuple | None = None

    def look(self, data: bytes) -> PacketFacts:
        tables = _jpeg_tables(data)
        if self._tables not in (None, tables):
            raise BitsError("its frames have different tables")
        self._tables = tables
        if not any(kind == JPEG_QUANTIZATION for kind, _ in tables):
            raise BitsError("its frames have no quantization tables")
        return ALONE


def _jpeg_tables(data: bytes) -> tuple[tuple[int, int], ...]:
    """(marker, table number) of the tables before the first scan, in order. BitsError if this is no such frame."""
    if data[:2] != b"\xff\xd8":
        raise BitsError("a packet does not hold exactly one JPEG picture")
    found: list[tuple[int, int]] = []
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise BitsError("its JPEG headers are damaged")
        kind, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == 0xFF:  # fill bytes
            at += 1
            continue
        if kind == JPEG_SCAN:
            return tuple(found)
        content = data[at + 4 : at + 2 + size]
        if kind in (JPEG_QUANTIZATION, JPEG_HUFFMAN):
            found += [(kind, number) for number in _table_numbers(kind, content)]
        elif kind == JPEG_RESTART_INTERVAL:
            found.append((kind, 0))
        at += 2 + size
    raise BitsError("its JPEG headers end too early")


def _table_numbers(kind: int, content: bytes) -> list[int]:
    """Class and number of each table in a segment, as one byte; sections B.2.4.1 and B.2.4.2."""
    found, at = [], 0
    while at < len(content):
        if kind == JPEG_QUANTIZATION:
            found.append(content[at] & 15)
            at += 129 if content[at] >> 4 else 65
        else:
            found.append(content[at])
            at += 17 + sum(content[at + 1 : at + 17])
    return found
