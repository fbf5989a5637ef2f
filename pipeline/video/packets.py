"""What is known of a video's packets before any of them is decoded. Plain data; knows no container and no codec."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class PacketFacts(NamedTuple):
    """What a packet's own headers say.

    is_start: decoding can begin here, and nothing shown later than this frame needs anything that came before it.
    droppable: no other frame needs this one. order: frames come out of a decoder in the order of these numbers; None
    where they come out as they went in. in_order: its numbering is consistent with the packets before it, so that a
    decoder that is not given the droppable packets ends up with the very same references. is_shown: a frame comes out.
    needs: the packets, counted from 0, that a decoder must have been given before this one; None where headers do not
    tell, so that it may need every one that is not droppable.
    """

    is_start: bool
    droppable: bool
    order: int | None = None
    in_order: bool = True
    is_shown: bool = True
    needs: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Needs:
    """Which packets each packet needs, in a few bytes each: those of packet n are packets[ends[n - 1] : ends[n]]."""

    ends: array
    packets: array

    def all_of(self, wanted: Iterable[int]) -> set[int]:
        """These packets and all that they need, and that those need, and so on."""
        found = set(wanted)
        left = list(found)
        while left:
            n = left.pop()
            for needed in self.packets[self.ends[n - 1] if n else 0 : self.ends[n]]:
                if needed not in found:
                    found.add(needed)
                    left.append(needed)
        return found


@dataclass(frozen=True)
class PacketIndex:
    """The packets of a video stream in decoding order; n of them.

    pts: (n,) int64, or None where some packet has none or two have the same. is_key: (n,) bool, as the container
    flags them. is_hidden: (n,) bool, decoded but not shown (edit lists, frames that only others use). is_start,
    droppable, in_order: (n,) bool, as in PacketFacts. doubt: why frames cannot be left out of this video, or None.
    is_ordered: frames are known to come out in the order of their pts. last_duration: ticks of the frame shown last,
    0 where unknown. error: where reading the container broke off, or None. needs: what each packet needs, or None
    where headers do not tell. tells_order: timestamps are of no use, but headers tell how many frames come out, and in
    which order: they need not be decoded to know them.
    """

    pts: np.ndarray | None
    is_key: np.ndarray
    is_hidden: np.ndarray
    is_start: np.ndarray
    droppable: np.ndarray
    in_order: np.ndarray
    doubt: str | None
    is_ordered: bool
    last_duration: int
    error: str | None
    needs: Needs | None = None
    tells_order: bool = False

    @property
    def shown_pts(self) -> np.ndarray:
        """(m,) int64, increasing: when each frame that is shown begins."""
        return np.sort(self.pts[~self.is_hidden])
