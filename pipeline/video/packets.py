"""What is known of a video's packets before any of them is decoded. Plain data; knows no container and no codec."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from embedonce.pipeline.video.known_stream import KnownStream
from embedonce.pipeline.video.losses import Losses
from embedonce.pipeline.video.times import RawTimes

SUPERSEDED = -(2**63) + 1  # in place of the pts of a frame that is never shown, for another begins at the same time


class PacketFacts(NamedTuple):
    """What a packet's own headers say.

    is_start: decoding can begin here, and nothing shown later than this frame needs anything that came before it.
    droppable: no other frame needs this one. order: frames come out of a decoder in the order of these numbers; None
    where they come out as they went in. in_order: its numbering is consistent with the packets before it, so that a
    decoder that is not given the droppable packets ends up with the very same references. is_shown: a frame comes out.
    follows_gap: its number says that frames before it are missing. is_half: it is the second half of the frame before it.
    needs: the packets, counted from 0, that a decoder must have been given before this one; None where headers do not
    tell, so that it may need every one that is not droppable.
    """

    is_start: bool
    droppable: bool
    order: int | None = None
    in_order: bool = True
    is_shown: bool = True
    follows_gap: bool = False
    needs: tuple[int, ...] | None = None
    is_half: bool = False


@dataclass(frozen=True)
class Needs:
    """Which packets each packet needs, in a few bytes each: those of packet n are packets[ends[n - 1] : ends[n]]."""

    ends: array
    packets: array

    def all_of(self, requested: Iterable[int]) -> set[int]:
        """These packets and all that they need, and that those need, and so on."""
        found = set(requested)
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

    pts: (n,) int64, or None where the packets' timestamps do not tell when frames are shown. Single ones that are
    missing or wrong are put right in it. is_key: (n,) bool, as the container flags them. is_hidden: (n,) bool, decoded
    but not shown (edit lists, frames that only others use, superseded ones). is_start, droppable, in_order: (n,) bool,
    as in PacketFacts. fallback_reason: why frames cannot be left out of this video, or None. is_ordered: frames are known to
    come out in the order of their pts. last_duration: ticks of the frame shown last, 0 where unknown. error: where
    reading the container broke off, or None.
    is_superseded: (n,) bool, a later frame begins at the same time, so that this one is never shown. is_restart: (n,)
    bool, nothing shown later than this frame needs what came before. losses: what the file has lost. holes: (h, 2)
    int64 ticks, as in Timeline; find_holes: both of these from frames in order of time, (pts, numbers of packets).
    raw: the timestamps as the container gives them. notes: what was done about them, in words. num_encrypted: how many
    packets are. needs: what each packet needs. header_order: (m,) int64, packets whose frames come out, in the order
    of output, where timestamps are of no use and headers tell it. None of these where they are not known.
    is_half: (n,) bool, as in PacketFacts. has_orientations: packets carry orientations, which hold for frames after theirs.
    stream: by what to open the file again.
    """

    pts: np.ndarray | None
    is_key: np.ndarray
    is_hidden: np.ndarray
    is_start: np.ndarray
    droppable: np.ndarray
    in_order: np.ndarray
    fallback_reason: str | None
    is_ordered: bool
    last_duration: int
    error: str | None
    is_superseded: np.ndarray | None = None
    is_restart: np.ndarray | None = None
    losses: Losses | None = None
    holes: np.ndarray | None = None
    find_holes: Callable[[np.ndarray, np.ndarray], tuple[Losses, np.ndarray]] | None = None
    raw: RawTimes | None = None
    notes: tuple[str, ...] = ()
    num_encrypted: int = 0
    needs: Needs | None = None
    header_order: np.ndarray | None = None
    is_half: np.ndarray | None = None
    has_orientations: bool = True
    stream: KnownStream | None = None

    @property
    def shown_pts(self) -> np.ndarray:
        """(m,) int64, non-decreasing: when each frame begins; of frames with equal times the last is shown."""
        is_counted = ~self.is_hidden if self.is_superseded is None else ~self.is_hidden | self.is_superseded
        return np.sort(self.pts[is_counted])

    @property
    def has_own_times(self) -> bool:
        """Whether the pts are those of the packets themselves, every one of them, and no frame supersedes another."""
        if self.pts is None or self.raw is None or (self.is_superseded is not None and self.is_superseded.any()):
            return False
        return bool(self.raw.has_pts.all() and np.array_equal(self.raw.pts, self.pts))

    @property
    def is_flawless(self) -> bool:
        """Whether headers tell all: nothing is doubted, missing, derived or hidden by encryption."""
        if (
            self.fallback_reason is not None
            or self.error is not None
            or not self.is_ordered
            or self.notes
            or self.num_encrypted
        ):
            return False
        is_whole = self.losses is None or not self.losses.is_any
        return bool(is_whole and len(self.is_key) and self.last_duration > 0 and self.has_own_times)

    def shown_at(self, n: int | None) -> int | None:
        """When the frame of packet n is shown: its pts, SUPERSEDED, or n itself where pts are not known."""
        if n is None or self.pts is None:
            return n
        is_superseded = self.is_superseded is not None and self.is_superseded[n]
        return SUPERSEDED if is_superseded else int(self.pts[n])
