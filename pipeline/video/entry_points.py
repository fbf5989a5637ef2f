"""Packets at which decoding can begin in the middle of a file. Plain data and arithmetic; reads nothing."""

from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.video.packets import PacketIndex


@dataclass(frozen=True)
class Entry:
    """A packet at which decoding can begin. number: among all of the stream. pts, dts: ticks. position: bytes."""

    number: int
    pts: int
    dts: int
    position: int


@dataclass(frozen=True)
class EntryPoints:
    """Where decoding can begin for n requested frames.

    pts, packets: (n,) int64, display times of the frames, increasing, and the numbers of their packets. entries: (m, 4)
    int64, the fields of each Entry, in order.
    """

    pts: np.ndarray
    packets: np.ndarray
    entries: np.ndarray

    @classmethod
    def of(cls, index: PacketIndex, requested_pts: np.ndarray, starts: np.ndarray) -> "EntryPoints | None":
        """The entry points of an index that needs no full decode; None if a reader could not recognize them.

        requested_pts: (n,) int64, increasing. starts: (m,) int64, as in FeedPlan. None as well if frames depend on more
        than packets, or if the display order of the stretches is another than their order in the file.
        """
        if index.positions is None or index.raw is None or index.stream is None or index.has_orientations:
            return None
        packets = np.flatnonzero(np.isin(index.known_pts, requested_pts) & ~index.is_hidden)
        packets = packets[np.argsort(index.known_pts[packets], kind="stable")]
        dts = np.where(index.raw.has_dts, index.raw.dts, index.known_pts)[starts]
        entries = np.stack([starts, index.known_pts[starts], dts, index.positions[starts]], axis=1)
        points = cls(requested_pts, packets, entries)
        is_clear = len(packets) == len(requested_pts) and len(starts) > 0 and bool((entries[:, 3] >= 0).all())
        return points if is_clear and bool((np.diff(points.stretches) >= 0).all()) else None

    @property
    def stretches(self) -> np.ndarray:
        """(n,) int64: which entry each frame is decoded from."""
        return np.searchsorted(self.entries[:, 0], self.packets, side="right") - 1

    def entry(self, i: int) -> Entry:
        """The entry from which requested frame i is decoded."""
        return Entry(*self.entries[self.stretches[i]].tolist())
