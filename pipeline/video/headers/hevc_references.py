"""The pictures that each HEVC picture depends on: its reference picture set, and which of them the decoder holds.

Pure arithmetic on numbers. Section numbers: ITU-T H.265, 7.3.6.1, 7.4.7.1 and 8.3.2.
"""

from typing import NamedTuple

from embedonce.pipeline.video.headers.bits import BitReader, BitsError
from embedonce.pipeline.video.headers.hevc_parameter_sets import RefSet, Sps

MAX_LONG_TERM = 32


class LongTerm(NamedTuple):
    """A long-term reference: its order count, or only the low bits of it, and whether the current picture uses it."""

    order: int
    is_whole: bool
    is_used: bool


class References(NamedTuple):
    """The reference picture set of a slice header; differences in `short` are relative to the picture's own order
    count.
    """

    short: RefSet
    long: tuple[LongTerm, ...]


NONE = References((), ())


def read_long_terms(bits: BitReader, sps: Sps, order: int) -> tuple[LongTerm, ...]:
    """The long-term part of a slice header. order: the picture order count of the picture."""
    listed = bits.exp_golomb() if sps.long_terms else 0
    count = listed + bits.exp_golomb()
    if count > MAX_LONG_TERM:
        raise BitsError("too many reference pictures")
    found, cycles, period = [], 0, 1 << sps.order_bits
    for n in range(count):
        if n < listed:
            low, is_used = sps.long_terms[bits.bits((len(sps.long_terms) - 1).bit_length())]
        else:
            low, is_used = bits.bits(sps.order_bits), bits.flag()
        is_whole = bits.flag()
        cycles = (bits.exp_golomb() if is_whole else 0) + (0 if n in (0, listed) else cycles)
        whole = low + order - order % period - cycles * period
        found.append(LongTerm(whole if is_whole else low, is_whole, is_used))
    return tuple(found)


class HeldPictures:
    """The reference pictures that a decoder holds, by picture order count."""

    def __init__(self):
        self._packets: dict[int, int] = {}  # picture order count -> number of the packet
        self._unneeded: set[int] = set()  # of those, by their own word: no picture of their layer may refer to them

    def clear(self) -> None:
        """An IDR or BLA picture follows: nothing is held any longer."""
        self._packets, self._unneeded = {}, set()

    def follow(self, order: int, references: References, period: int) -> tuple[tuple[int, ...], bool]:
        """(the packets in its set, whether all pictures that it uses are held); afterwards only pictures in the set are
        held.

        period: range of the low bits of order counts. FFmpeg refuses pictures whose sets contain a missing picture even
        if only later pictures use it, so every picture in the set is needed.
        """
        named: list[tuple[int | None, bool]] = [
            (order + difference, is_used) for difference, is_used in references.short
        ]
        is_sound = True
        for term in references.long:
            whole = term.order if term.is_whole else self._with_low_bits(term.order, period)
            is_sound &= whole is not None
            named.append((whole, term.is_used))
        is_sound &= all(one in self._packets and one not in self._unneeded for one, is_used in named if is_used)
        self._packets = {one: self._packets[one] for one, _ in named if one in self._packets}
        self._unneeded &= self._packets.keys()
        return tuple(self._packets.values()), is_sound

    def add(self, order: int, packet: int, is_unneeded: bool) -> None:
        self._packets[order] = packet
        if is_unneeded:
            self._unneeded.add(order)

    def _with_low_bits(self, low: int, period: int) -> int | None:
        """The order count of the only picture with these low bits; None if there is none, or more than one."""
        found = [order for order in self._packets if order % period == low]
        return found[0] if len(found) == 1 else None
