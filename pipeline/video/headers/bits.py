"""Bit reader and NAL units, as far as frame headers need them. Pure arithmetic on bytes.

A NAL unit is one part of an H.264 or HEVC packet: a header of one or two bytes, then its payload.
"""

import re

HEADER_BYTES = 96  # of a slice's payload: more than any field that is read of HEVC can need; H.264 needs 40
START_CODE = re.compile(rb"\0\0[\1\2]")  # the second one ends a unit, for FFmpeg; twice as fast as bytes.find
MAX_PARAMETER_BYTES = 4096  # of a parameter set: hostile ones would take for ever
FILM_GRAIN, REGISTERED_T35, ORIENTATION = 19, 4, 47  # payloadType of SEI messages, ITU-T H.274 and H.264 annex D
AFGS1 = b"\xb5\x58\x90"  # country and provider of AV1's film grain in a T.35 message


class BitsError(Exception):
    """These bytes violate their codec's format, or end too early."""


class BitReader:
    """Reads unsigned integers from bytes, most significant bit first."""

    def __init__(self, data: bytes):
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def bits(self, count: int) -> int:
        """The next `count` bits as an integer. BitsError if there are fewer."""
        self._left -= count
        if self._left < 0:
            raise BitsError("the header ends too early")
        value = self._value >> self._left
        self._value -= value << self._left
        return value

    def flag(self) -> bool:
        return bool(self.bits(1))

    def exp_golomb(self) -> int:
        """ue(v), ITU-T H.264, section 9.1; se(v) has the same length."""
        return self.exp_golombs(1)[0]

    def exp_golombs(self, count: int) -> list[int]:
        """The next `count` Exp-Golomb codes."""
        value, left, found = self._value, self._left, []
        for _ in range(count):
            zeros = left - value.bit_length()
            if zeros > 31:
                raise BitsError("a number in the header is too large")
            left -= 2 * zeros + 1
            if left < 0:
                raise BitsError("the header ends too early")
            number = value >> left
            value -= number << left
            found.append(number - 1)
        self._value, self._left = value, left
        return found


def payload(nal: bytes, header_size: int, limit: int = HEADER_BYTES) -> BitReader:
    """A reader on the first bytes after a slice's header, without emulation prevention bytes (03 after two zeros)."""
    return BitReader(_unescaped(nal[header_size : header_size + limit]))


def add_once(known: dict, number: int, value) -> None:
    """Add a parameter set. BitsError if one with this number exists."""
    if number in known:
        raise BitsError("two of its parameter sets have the same number")
    known[number] = value


def parameters(nal: bytes, header_size: int) -> BitReader:
    """A reader on a parameter set after its header. BitsError if it is unreasonably long."""
    if len(nal) > MAX_PARAMETER_BYTES:
        raise BitsError("its parameter sets are too long")
    return BitReader(_unescaped(nal[header_size:]))


def check_sei(nal: bytes, header_size: int) -> bool:
    """Whether SEI messages contain a display orientation (section 7.3.2.3.1).

    BitsError if they request film grain, which depends on earlier frames.
    """
    data, at, has_orientations = _unescaped(nal[header_size:]), 0, False
    last = len(data) - 2
    while at < last:
        kind, size = data[at], data[at + 1]
        if kind != 0xFF and size != 0xFF:  # the number ends with this byte
            at += 2
        else:
            kind, at = _sei_number(data, at)
            size, at = _sei_number(data, at)
        if kind == FILM_GRAIN or (kind == REGISTERED_T35 and data[at : at + 3] == AFGS1):
            raise BitsError("it uses film grain")
        has_orientations |= kind == ORIENTATION
        at += size
    return has_orientations


def _sei_number(data: bytes, at: int) -> tuple[int, int]:
    """(value, end position) of a payloadType or payloadSize; 0 if the message ends too early."""
    value = 0
    while at < len(data):
        value, at = value + data[at], at + 1
        if data[at - 1] != 0xFF:
            break
    return value, at


def nearest_order(low: int, base: int, cycle: int) -> int:
    """The picture order count with these low bits that is nearest to `base` (H.264, section 8.2.1.1; H.265, 8.3.1)."""
    difference = (low - base) % cycle
    return base + difference - (cycle if difference > cycle // 2 else 0)


def order_in_period(period: int, order: int) -> int:
    """One number for an order count that restarts with each period."""
    return (period << 40) + order


def _unescaped(data: bytes) -> bytes:
    return data.replace(b"\0\0\3", b"\0\0") if b"\0\0\3" in data else data


def sequence_ends(kinds: list[int], slices, ends) -> tuple[bool, bool]:
    """(whether a sequence ends before the slices of a packet, whether one ends after them). kinds: types of its units.

    BitsError if one ends between two slices.
    """
    at = [n for n, kind in enumerate(kinds) if kind in ends]
    if not at:
        return False, False
    pictures = [n for n, kind in enumerate(kinds) if kind in slices]
    if any(pictures[0] < n < pictures[-1] for n in at):
        raise BitsError("a sequence ends inside a frame")
    return at[0] < pictures[0], at[-1] > pictures[-1]


def split_nals(data: bytes, length_size: int) -> list[bytes]:
    """The NAL units of a packet. length_size: bytes of each unit's length field, or 0 for start codes (Annex B).

    BitsError if the lengths do not match the packet's size.
    """
    return _by_length(data, length_size) if length_size else _by_start_code(data)


def _by_length(data: bytes, length_size: int) -> list[bytes]:
    nals, at, end = [], 0, len(data)
    while at < end:
        start = at + length_size
        at = start + int.from_bytes(data[at:start], "big")
        if at > end or at <= start:
            raise BitsError("the lengths of its NAL units do not match its packets")
        nal = data[start:at]
        if b"\0\0" in nal and START_CODE.search(nal):
            raise BitsError("its NAL units contain start codes")  # FFmpeg would look at those too
        nals.append(nal)
    return nals


def _by_start_code(buffer: bytes) -> list[bytes]:
    nals, start = [], buffer.find(b"\0\0\1") + 3
    if start < 3 or buffer[: start - 3].strip(b"\0"):
        raise BitsError("a packet does not begin with a start code")
    while start < len(buffer):
        found = buffer.find(b"\0\0\1", start)
        end = len(buffer) if found < 0 else found
        nal = buffer[start:end].rstrip(b"\0")  # zeros between units belong to none
        if not nal:
            raise BitsError("an empty NAL unit")
        nals.append(nal)
        start = end + 3
    return nals
