"""Codecs whose frames are decoded each by itself: any of them may be left out. Pure arithmetic on bytes.

Only those are here whose FFmpeg decoders keep nothing from frame to frame, or whose packets tell where they do not.
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
    """RFC 9043, section 4.4: the first bit of a frame is set where nothing is kept of those before it."""

    def __init__(self, _extradata: bytes):
        pass

    def look(self, data: bytes) -> PacketFacts:
        return PacketFacts(len(data) > 1 and int.from_bytes(data[:2], "big") >= FFV1_KEY, False)


class MjpegInspector:
    """Motion JPEG: a decoder keeps tables from frame to frame, so that every frame must bring the same ones of them."""

    def __init__(self, _extradata: bytes):
        self._tables: tuple | None = None

    def look(self, data: bytes) -> PacketFacts:
        tables = _jpeg_tables(data)
        if self._tables not in (None, tables):
            raise BitsError("its frames do not all bring the same tables")
        self._tables = tables
        if not any(kind == JPEG_QUANTIZATION for kind, _ in tables):
            raise BitsError("its frames come without quantization tables")
        return ALONE


def _jpeg_tables(data: bytes) -> tuple[tuple[int, int], ...]:
    """(marker, table number) of the tables before the first scan, in order. BitsError for what is no such frame."""
    if data[:2] != b"\xff\xd8":
        raise BitsError("it has packets that are not one JPEG picture")
    found, at = [], 2
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
    """Class and number, as one byte, of the tables in a segment; sections B.2.4.1 and B.2.4.2."""
    found, at = [], 0
    while at < len(content):
        if kind == JPEG_QUANTIZATION:
            found.append(content[at] & 15)
            at += 129 if content[at] >> 4 else 65
        else:
            found.append(content[at])
            at += 17 + sum(content[at + 1 : at + 17])
    return found
