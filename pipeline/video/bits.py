"""Bits and NAL units, as far as the headers of compressed frames need them. Knows bytes, and no container.

A NAL unit is one piece of an H.264 or HEVC packet: a header of one or two bytes, then its payload.
"""

HEADER_BYTES = 96  # of a slice's payload: more than any field that is read here can need


class BitsError(Exception):
    """These bytes are not what their codec allows, or end too early."""


class BitReader:
    """Reads unsigned integers from the front of some bytes, most significant bit first."""

    def __init__(self, data: bytes):
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def bits(self, count: int) -> int:
        """The next count bits as an integer. BitsError where there are fewer."""
        if count > self._left:
            raise BitsError("the header ends too early")
        self._left -= count
        value = self._value >> self._left
        self._value &= (1 << self._left) - 1
        return value

    def flag(self) -> bool:
        return bool(self.bits(1))

    def exp_golomb(self) -> int:
        """ue(v) of ITU-T H.264, section 9.1; se(v) takes the same bits."""
        zeros = self._left - self._value.bit_length()
        if zeros > 31:
            raise BitsError("a number in the header is too large")
        return self.bits(2 * zeros + 1) - 1


def payload(nal, header_size: int, limit: int | None = HEADER_BYTES) -> BitReader:
    """The first bits after a NAL unit's header, its emulation prevention bytes (03 after two zeros) taken out."""
    head = bytes(nal[header_size:] if limit is None else nal[header_size : header_size + limit])
    if b"\0\0\3" in head:
        head = head.replace(b"\0\0\3", b"\0\0")
    return BitReader(head)


def split_nals(data: memoryview, length_size: int) -> list[memoryview]:
    """The NAL units of a packet. length_size: bytes of the length before each, or 0 for start codes (Annex B).

    BitsError where lengths do not fill the packet exactly.
    """
    return _by_length(data, length_size) if length_size else _by_start_code(data)


def _by_length(data: memoryview, length_size: int) -> list[memoryview]:
    nals, at = [], 0
    while at < len(data):
        start = at + length_size
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data) or at <= start:
            raise BitsError("its NAL units do not fill its packets")
        nals.append(data[start:at])
    return nals


def _by_start_code(data: memoryview) -> list[memoryview]:
    buffer = bytes(data)
    nals, start = [], buffer.find(b"\0\0\1") + 3
    if start < 3 or buffer[: start - 3].strip(b"\0"):
        raise BitsError("a packet does not begin with a start code")
    while start < len(buffer):
        found = buffer.find(b"\0\0\1", start)
        end = len(buffer) if found < 0 else found
        nal = data[start:end]
        while len(nal) and nal[-1] == 0:  # zeros between units belong to none
            nal = nal[:-1]
        if not len(nal):
            raise BitsError("an empty NAL unit")
        nals.append(nal)
        start = end + 3
    return nals
