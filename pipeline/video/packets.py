"""What is known about a video's packets before any of them is decoded. Plain data."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from embedonce.pipeline.video.known_stream import MOV, KnownStream
from embedonce.pipeline.video.missing_data import Losses
from embedonce.pipeline.video.times import RawTimes

SUPERSEDED = -(2**63) + 1  # replaces the pts of a frame that is never displayed, since another has the same time


class PacketFacts(NamedTuple):
    """What the headers of one packet state.

    is_start: decoding can begin here; no frame displayed after this one depends on earlier packets.
    droppable: no other frame depends on this one.
    order: frames leave the decoder in the order of these numbers; None if they leave in decoding order.
    in_order: its frame number follows from the previous packets, so that leaving out droppable packets does not change
        the decoder's references.
    is_shown: a frame is output for it.
    follows_gap: its frame number shows that frames before it are missing.
    needs: the packets, counted from 0, that must have been decoded before this one; None if the headers do not say, so
        that it may depend on every packet that is not droppable.
    is_half: it is the second field of the previous frame.
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
    """Dependencies between packets in compact form: packet n depends on packets[ends[n - 1] : ends[n]]."""

    ends: array
    packets: array

    def all_of(self, requested: Iterable[int]) -> set[int]:
        """These packets and everything that they depend on, directly or indirectly."""
        reached = set(requested)
        left = list(reached)
        while left:
            n = left.pop()
            for needed in self.packets[self.ends[n - 1] if n else 0 : self.ends[n]]:
                if needed not in reached:
                    reached.add(needed)
                    left.append(needed)
        return reached


@dataclass(frozen=True)
class PacketIndex:
    """The n packets of a video stream in decoding order.

    pts: (n,) int64 with missing and wrong timestamps corrected, or None if timestamps do not determine display times.
    is_key: (n,) bool, the container's key frame flags.
    is_hidden: (n,) bool, decoded but not displayed (edit lists, reference-only frames, superseded frames).
    is_start, droppable, in_order, is_half: (n,) bool, as in PacketFacts.
    fallback_reason: why the video must be decoded completely, or None.
    is_ordered: frames are known to leave the decoder in the order of their pts.
    last_duration: ticks for which the last frame is displayed, 0 if unknown.
    error: why reading the container stopped early, or None.
    is_superseded: (n,) bool, a later frame has the same time, so that this one is never displayed.
    is_restart: (n,) bool, no frame displayed after this one depends on earlier packets.
    losses: data missing from the file.
    holes: (h, 2) int64 ticks, as in Timeline.
    find_holes: computes losses and holes from frames in display order: (pts, packet numbers).
    raw: the container's own timestamps.
    notes: what was done about timestamps.
    num_encrypted: number of encrypted packets.
    needs: dependencies between packets, or None if unknown.
    header_order: (m,) int64, packets in display order if the headers determine it and timestamps do not; else None.
    has_orientations: packets carry orientations, which apply to later frames as well.
    stream: what is needed to open the file again.
    positions: (n,) int64 bytes, where packets lie in the file, -1 if unknown; None if that holds for all.
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
    positions: np.ndarray | None = None

    @property
    def known_pts(self) -> np.ndarray:
        """pts, of an index that has them."""
        assert self.pts is not None
        return self.pts

    @property
    def known_losses(self) -> Losses:
        """losses, of an index that was read from a file."""
        assert self.losses is not None
        return self.losses

    @property
    def shown_pts(self) -> np.ndarray:
        """(m,) int64, non-decreasing: display times of all frames; of frames with equal times the last is displayed."""
        is_counted = ~self.is_hidden if self.is_superseded is None else ~self.is_hidden | self.is_superseded
        return np.sort(self.known_pts[is_counted])

    @property
    def has_own_times(self) -> bool:
        """Whether all pts are the packets' own, and no frame supersedes another."""
        if self.pts is None or self.raw is None or (self.is_superseded is not None and self.is_superseded.any()):
            return False
        return bool(self.raw.has_pts.all() and np.array_equal(self.raw.pts, self.pts))

    @property
    def is_found_by_time(self) -> bool:
        """Whether each packet can be sought by its time, and decoded alone: in an MP4 or QuickTime file, whose header
        lists all packets, of frames that stand for themselves and are displayed when they are decoded.
        """
        if self.stream is None or self.stream.format != MOV or self.raw is None or not self.has_own_times:
            return False
        are_in_turn = np.array_equal(self.raw.dts, self.raw.pts) and (np.diff(self.raw.pts) > 0).all()
        return bool(are_in_turn and self.raw.has_dts.all() and self.is_start.all())

    @property
    def is_flawless(self) -> bool:
        """Whether headers determine everything: nothing is uncertain, missing, derived or encrypted."""
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
        """The display time of packet n's frame: its pts, SUPERSEDED, or n itself if there are no pts."""
        if n is None or self.pts is None:
            return n
        is_superseded = self.is_superseded is not None and self.is_superseded[n]
        return SUPERSEDED if is_superseded else int(self.pts[n])
