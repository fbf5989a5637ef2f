"""Codecs with only I and P pictures: whether decoding can begin at a packet. Pure arithmetic on bytes.

H.263, Sorenson (FLV1), Microsoft MPEG-4 version 3, WMV 1 and 2, and Theora: output order is decoding order, and each I
picture replaces everything kept. P pictures are never skipped: each depends on the previous one.
"""

from embedonce.pipeline.video.headers.bits import BitReader, BitsError
from embedonce.pipeline.video.packets import PacketFacts

EXTENDED_FORMAT = 7  # of H.263: the picture has a longer header, whose settings may hold for later ones


def _h263_begins(data: bytes) -> bool:
    """ITU-T H.263, section 5.1."""
    bits = BitReader(data[:6])
    if bits.bits(22) != 32:
        raise BitsError("a packet does not hold exactly one frame")
    bits.bits(8 + 5)  # temporal reference, first flags of PTYPE
    return bits.bits(3) != EXTENDED_FORMAT and not bits.flag()


def _flv1_begins(data: bytes) -> bool:
    """Adobe Flash Video File Format, annex E: Sorenson H.263."""
    bits = BitReader(data[:9])
    if bits.bits(17) != 1:
        raise BitsError("a packet does not hold exactly one frame")
    bits.bits(5 + 8)
    size = bits.bits(3)
    bits.bits({0: 16, 1: 32}.get(size, 0))
    return bits.bits(2) == 0


def _two_bits_begin(data: bytes) -> bool:
    """Microsoft MPEG-4 version 3 and WMV 1."""
    return data[0] >> 6 == 0


def _one_bit_begins(data: bytes) -> bool:
    """WMV 2."""
    return data[0] >> 7 == 0


def _theora_begins(data: bytes) -> bool:
    """Theora specification, section 7.1."""
    if data[0] >> 7:
        raise BitsError("a packet does not hold exactly one frame")
    return not data[0] & 0x40


BEGINS = {
    "h263": _h263_begins,
    "flv": _flv1_begins,
    "msmpeg4": _two_bits_begin,
    "wmv1": _two_bits_begin,
    "wmv2": _one_bit_begins,
    "theora": _theora_begins,
}


def predictive_inspector(codec: str):
    """The inspector class for packets of this codec, a key of BEGINS."""

    class Inspector:
        def __init__(self, _extradata: bytes):
            pass

        def look(self, data: bytes) -> PacketFacts:
            return PacketFacts(BEGINS[codec](data), False)

    return Inspector
