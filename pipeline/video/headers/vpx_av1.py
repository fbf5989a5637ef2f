"""First bits of VP8, VP9 and AV1 packets: whether decoding can begin there. Pure arithmetic on bytes.

In these codecs a key frame replaces every reference and all learned statistics. Frames between key frames are never
skipped: nearly all of them, displayed or not, affect later ones.
"""

from embedonce.pipeline.video.headers.bits import BitReader, BitsError
from embedonce.pipeline.video.packets import PacketFacts

SEQUENCE_HEADER, FRAME_HEADER, FRAME = 1, 3, 6  # obu_type, AV1 specification, section 6.2.2
KEY_FRAME = 0


class Vp8Inspector:
    """RFC 6386, section 9.1: the lowest bit of a frame is 0 for a key frame; bit 4 is set if it is displayed."""

    def __init__(self, _extradata: bytes):
        pass

    def look(self, data: bytes) -> PacketFacts:
        is_shown = bool(data[0] & 16)
        return PacketFacts(is_shown and not data[0] & 1, False, is_shown=is_shown)


class Vp9Inspector:
    """VP9 bitstream specification, section 6.2: uncompressed_header of the first frame in the packet."""

    def __init__(self, _extradata: bytes):
        pass

    def look(self, data: bytes) -> PacketFacts:
        bits = BitReader(data[:2])
        if bits.bits(2) != 2:
            raise BitsError("a packet is not a VP9 frame")
        if bits.bits(2) == 3:  # profile 3, its bits in reverse order, has one more
            bits.flag()
        if bits.flag():  # shows a frame that was decoded before
            return PacketFacts(False, False)
        is_key, is_shown = bits.bits(1) == KEY_FRAME, bits.flag()
        has_more = data[-1] >> 5 == 6  # the marker of a superframe (annex B): one of its frames is shown
        return PacketFacts(is_key, False, is_shown=is_shown or has_more)


class Av1Inspector:
    """AV1 bitstream specification, sections 5.3 and 5.9. extradata: av1C or empty.

    Every entry point must contain the same sequence header, or use the container's.
    """

    def __init__(self, extradata: bytes):
        self._configured: bytes | None = None
        self._sequence: bytes | None = None
        if extradata[:1] == b"\x81":
            headers = [content for kind, content in _open_units(extradata[4:])]
            self._configured = headers[0] if headers else None

    def look(self, data: bytes) -> PacketFacts:
        sequence, is_start = None, None
        for kind, content in _open_units(data):
            if kind == SEQUENCE_HEADER:
                sequence = content
            elif is_start is None:
                shows_existing, frame_type, is_shown = content[0] >> 7, content[0] >> 5 & 3, content[0] >> 4 & 1
                is_start = not shows_existing and frame_type == KEY_FRAME and bool(is_shown)
        if is_start is None:
            raise BitsError("it has packets without a frame")
        if is_start or sequence is not None:
            self._meet(sequence or self._configured)
        return PacketFacts(is_start, False)

    def _meet(self, sequence: bytes | None) -> None:
        if sequence is None:
            raise BitsError("it has no sequence header")
        if sequence[0] >> 3 & 1:  # reduced_still_picture_header: frames have shorter headers
            raise BitsError("it is a still picture")
        if self._sequence not in (None, sequence):
            raise BitsError("its sequence header changes")
        self._sequence = sequence


def _open_units(data: bytes) -> list[tuple[int, bytes]]:
    """(obu_type, content) of the sequence and frame headers in a packet."""
    found, at = [], 0
    while at < len(data):
        kind, start = data[at] >> 3 & 15, at + 1 + (data[at] >> 2 & 1)
        size, start = _leb128(data, start) if data[at] & 2 else (len(data) - start, start)
        at = start + size
        if at > len(data):
            raise BitsError("the lengths of its units do not match its packets")
        if kind in (SEQUENCE_HEADER, FRAME_HEADER, FRAME):
            if not size:
                raise BitsError("it has empty units")
            found.append((kind, data[start:at]))
    return found


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """(value, end position), section 4.10.5."""
    value = 0
    for i in range(8):
        if at + i >= len(data):
            break
        value |= (data[at + i] & 127) << 7 * i
        if not data[at + i] & 128:
            return value, at + i + 1
    raise BitsError("the lengths of its units do not match its packets")
