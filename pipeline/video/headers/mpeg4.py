"""Packet headers of MPEG-4 Part 2 (DivX, Xvid): pictures at which decoding can begin, and B pictures.

Pure arithmetic on bytes. Section and table numbers: ISO/IEC 14496-2. No picture depends on a B picture.
"""

import re
from typing import NamedTuple

from embedonce.pipeline.video.headers.b_picture_order import B_PICTURE, I_PICTURE, P_PICTURE, AnchorOrder
from embedonce.pipeline.video.headers.bits import BitReader, BitsError
from embedonce.pipeline.video.packets import PacketFacts

PACKS = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:b|Build)\d+p")  # user data: two pictures are put in one packet
PICTURE_START, GROUP_START = b"\0\0\1\xb6", b"\0\0\1\xb3"  # vop_start_code, group_of_vop_start_code
MAX_EMPTY_SIZE = 19  # bytes of a packet in whose place FFmpeg decodes what came packed with the one before
GROUP_SIZE = 7  # bytes of a group's header, its start code included
FIRST_LAYER, LAST_LAYER = 0x20, 0x2F  # video_object_layer_start_code
KINDS = (I_PICTURE, P_PICTURE, B_PICTURE, P_PICTURE)  # vop_coding_type, table 6-20; sprites are predicted like P
EXTENDED_ASPECT = 15


class _Layer(NamedTuple):
    """The fields of a video object layer's header that picture headers need."""

    time_bits: int
    is_interlaced: bool


class Mpeg4Inspector:
    """Inspects the packets of one stream in decoding order. extradata: the stream's headers, or empty."""

    def __init__(self, extradata: bytes):
        self._layer = _find_layer(extradata)
        self._prefix: bytes | None = None  # what the first packet has before its picture: headers, the encoder's name
        self._is_plain = True
        self._order = AnchorOrder()
        self._packs = bool(PACKS.search(extradata))
        self._is_packed = False  # a B picture came with the packet before, and is due now
        self.fallback_reason: str | None = None  # why no frames can be left out, although their order is understood

    def look(self, data: bytes) -> PacketFacts:
        """Facts about the next packet. BitsError if the output order cannot be determined."""
        at = data.find(PICTURE_START)
        if at < 0:
            raise BitsError("a packet does not hold exactly one frame")
        packed_at = data.find(PICTURE_START, at + 4)
        prefix = _without_group(data[:at])
        self._prefix = prefix if self._prefix is None else self._prefix
        self._layer = _find_layer(prefix) or self._layer
        if self._layer is None:
            raise BitsError("it has frames without headers")
        self._is_plain &= prefix in (b"", self._prefix)
        kind, is_coded = _read_picture(data[at + 4 : at + 44], self._layer.time_bits)
        if self._is_packed:
            return self._unpacked(data, is_coded and packed_at < 0)
        self._packs |= bool(PACKS.search(prefix))
        if packed_at >= 0:
            self._pack(data[packed_at:], self._layer.time_bits, kind != B_PICTURE and is_coded)
        if kind != I_PICTURE and not self._order.num_anchors:
            raise BitsError("it does not begin with an I picture")
        # FFmpeg measures the distance of fields once, at the first B picture: nothing may be left out then
        self._is_plain &= not (self._layer.is_interlaced and kind == B_PICTURE)
        is_shown = is_coded and (kind != B_PICTURE or self._order.num_anchors > 1)
        is_start = kind == I_PICTURE and is_coded and self._is_plain and prefix == self._prefix
        droppable = kind == B_PICTURE and is_coded and self._is_plain and not prefix
        return PacketFacts(is_start, droppable, self._order.number(kind), is_shown=is_shown)

    def _pack(self, data: bytes, time_bits: int, is_anchor: bool) -> None:
        """Record a second picture in the packet. BitsError unless it is a B picture of a packed stream."""
        kind, is_coded = _read_picture(data[4:44], time_bits)
        is_last = data.find(PICTURE_START, 4) < 0
        if not (self._packs and is_anchor and is_last and is_coded and kind == B_PICTURE and self._order.num_anchors):
            raise BitsError("a packet does not hold exactly one frame")
        self._is_packed, self.fallback_reason = True, "it has two frames in one packet"

    def _unpacked(self, data: bytes, has_own: bool) -> PacketFacts:
        """Facts about the packet in whose place the picture packed into the previous packet is decoded."""
        if has_own or len(data) > MAX_EMPTY_SIZE:
            raise BitsError("a packet does not hold exactly one frame")
        self._is_packed = False
        return PacketFacts(False, False, self._order.number(B_PICTURE))


def _read_picture(data: bytes, time_bits: int) -> tuple[int, bool]:
    """(kind, vop_coded) of a picture header, section 6.2.5."""
    bits = BitReader(data)
    kind = KINDS[bits.bits(2)]
    while bits.flag():  # modulo_time_base
        pass
    if not bits.flag():
        raise BitsError("its headers are damaged")
    bits.bits(time_bits)
    if not bits.flag():
        raise BitsError("its headers are damaged")
    return kind, bits.flag()


def _without_group(prefix: bytes) -> bytes:
    """The headers before a picture without the group header, which contains only the time."""
    at = prefix.find(GROUP_START)
    return prefix if at < 0 else prefix[:at] + prefix[at + GROUP_SIZE :]


def _find_layer(data: bytes) -> _Layer | None:
    """The header of the first video object layer in these bytes, section 6.2.3, up to its interlaced flag."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        if at + 3 < len(data) and FIRST_LAYER <= data[at + 3] <= LAST_LAYER:
            return _read_layer(BitReader(data[at + 4 : at + 68]))
        at = data.find(b"\0\0\1", at + 3)
    return None


def _read_layer(bits: BitReader) -> _Layer:
    bits.bits(9)  # random access, type
    if bits.flag():
        bits.bits(7)  # version, priority
    if bits.bits(4) == EXTENDED_ASPECT:
        bits.bits(16)
    if bits.flag():  # control parameters: chroma format, low delay
        bits.bits(3)
        if bits.flag():
            bits.bits(79)  # of the buffer
    if bits.bits(2):
        raise BitsError("its pictures are not rectangular")
    bits.flag()
    resolution = bits.bits(16)
    time_bits = max((resolution - 1).bit_length(), 1)
    bits.flag()
    if bits.flag():  # a fixed rate
        bits.bits(time_bits)
    bits.bits(1 + 13 + 1 + 13 + 1)  # width, height, markers
    return _Layer(time_bits, bits.flag())
