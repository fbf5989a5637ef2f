"""Plan which packets to decode so that the requested frames come out exactly. Pure arithmetic on the index.

Packets form groups that begin where decoding can begin. Skipped are groups without a requested frame; in a group,
everything after its last requested frame, and whatever no requested frame depends on, directly or indirectly. If
headers only show which frames no other frame depends on, those are skipped unless requested. Frames displayed before
the first frame of their group (leading frames) may depend on the previous group, which is then decoded as well.
"""

from dataclasses import dataclass, replace

import numpy as np

from embedonce.pipeline.video.entry_points import Entry, EntryPoints
from embedonce.pipeline.video.known_stream import KnownStream
from embedonce.pipeline.video.packets import PacketIndex


@dataclass(frozen=True)
class FeedPlan:
    """feed: (n,) bool, the packets to decode, in order. run_start: (n,) bool, the decoder is flushed before these.

    fallback_reason: why nothing may be skipped, or None; then every packet up to the last requested one is fed.
    has_orientations, stream: as in PacketIndex. is_sought: the packets to decode are those of the requested frames, and
    each may be sought by its time, so that no others need to be read. starts: (m,) int64, packets with which stretches
    begin that depend on no packets before them; all requested frames lie in one of them.
    """

    feed: np.ndarray
    run_start: np.ndarray
    fallback_reason: str | None
    has_orientations: bool = True
    stream: KnownStream | None = None
    is_sought: bool = False
    starts: np.ndarray | None = None


@dataclass(frozen=True)
class PackedPlan:
    """A FeedPlan without fallback, in a quarter of a byte per packet, to be sent from the scan to decoding.

    entry_points: where it may be cut; None if that is unknown. begin: its first packet; None if it begins with the
    first one of the file.
    """

    count: int
    feed: bytes
    run_start: bytes
    has_orientations: bool = True
    stream: KnownStream | None = None
    is_sought: bool = False
    entry_points: EntryPoints | None = None
    begin: Entry | None = None

    @classmethod
    def of(cls, plan: FeedPlan, entry_points: EntryPoints | None = None) -> "PackedPlan | None":
        """None for a full decode, which needs more of the index."""
        if plan.fallback_reason is not None:
            return None
        feed, run_start = np.packbits(plan.feed).tobytes(), np.packbits(plan.run_start).tobytes()
        return cls(len(plan.feed), feed, run_start, plan.has_orientations, plan.stream, plan.is_sought, entry_points)

    def unpacked(self) -> FeedPlan:
        feed, run_start = (
            np.unpackbits(np.frombuffer(bits, np.uint8), count=self.count).astype(bool)
            for bits in (self.feed, self.run_start)
        )
        return FeedPlan(feed, run_start, None, self.has_orientations, self.stream, self.is_sought)

    def from_the_start(self) -> "PackedPlan":
        """The same for a reader that begins with the first packet of the file."""
        if self.begin is None:
            return self
        plan, before = self.unpacked(), np.zeros(self.begin.number, bool)
        feed, run_start = np.append(before, plan.feed), np.append(before, plan.run_start)
        return replace(self._with(feed, run_start), begin=None)

    def part(self, first: int, stop: int) -> "PackedPlan":
        """The plan of the requested frames from first to stop, by number, of a plan with entry points."""
        assert self.entry_points is not None, "only plans with entry points can be cut"
        plan, begin = self.unpacked(), self.entry_points.entry(first)
        if self.is_sought:
            return self._sought_part(plan, self.entry_points.packets[first:stop])
        packets = slice(begin.number, int(self.entry_points.packets[first:stop].max()) + 1)
        run_start = plan.run_start[packets]
        run_start[0] = False  # its decoder is new
        return replace(self._with(plan.feed[packets], run_start), entry_points=None, begin=begin)

    def _sought_part(self, plan: FeedPlan, packets: np.ndarray) -> "PackedPlan":
        """Of all packets, only these are decoded, each of which is sought."""
        wanted = np.zeros_like(plan.feed)
        wanted[packets] = True
        run_start = plan.run_start & wanted
        run_start[packets[0]] = False  # its decoder is new
        return replace(self._with(plan.feed & wanted, run_start), entry_points=None)

    def _with(self, feed: np.ndarray, run_start: np.ndarray) -> "PackedPlan":
        bits, starts = np.packbits(feed).tobytes(), np.packbits(run_start).tobytes()
        return replace(self, count=len(feed), feed=bits, run_start=starts)


def plan_full_decode(index: PacketIndex, requested_pts: np.ndarray | None, fallback_reason: str) -> FeedPlan:
    """Decode everything in one run, up to the last requested pts, or to the end if there are none."""
    n = len(index.is_key)
    stop = n if requested_pts is None else np.flatnonzero(index.known_pts <= requested_pts[-1]).max(initial=-1) + 1
    while index.is_half is not None and 0 < stop < n and index.is_half[stop]:
        stop += 1  # include the second field
    return FeedPlan(np.arange(n) < stop, np.zeros(n, bool), fallback_reason)


def plan_feed(index: PacketIndex, requested_pts: np.ndarray) -> FeedPlan:
    """The packets that the frames with these pts, (n,) int64, depend on."""
    if index.fallback_reason is not None:
        return plan_full_decode(index, requested_pts, index.fallback_reason)
    pts = index.known_pts
    n = len(pts)
    requested = np.isin(pts, requested_pts) & ~index.is_hidden
    starts = np.union1d([0], np.flatnonzero(index.is_start))
    stops = np.append(starts[1:], n)
    feed, run_start = np.zeros(n, bool), np.zeros(n, bool)
    firsts = []
    previous_end = 0  # end of the packets fed so far, if contiguous
    for g in _with_previous(pts, requested, starts, stops):
        first, stop = starts[g[0]], stops[g[-1]]
        stop = first + np.flatnonzero(requested[first:stop])[-1] + 1
        feed[first:stop] = True
        is_needed = _needed(index, requested, first, stop)
        for group in g:
            start, end = starts[group], min(stops[group], stop)
            if index.in_order[start : stops[group]].all():
                feed[start:end] &= is_needed[start - first : end - first]
            feed[start] |= index.is_start[start]
        run_start[first] = first > previous_end
        previous_end = stop
        firsts.append(first)
    is_sought = index.is_found_by_time and np.array_equal(feed, requested)
    starts = np.array(firsts, np.int64)
    return FeedPlan(feed, run_start, None, index.has_orientations, index.stream, is_sought, starts)


def _needed(index: PacketIndex, requested: np.ndarray, first: int, stop: int) -> np.ndarray:
    """(stop - first,) bool: the packets from first to stop that requested ones among them may depend on."""
    if index.needs is None:
        return requested[first:stop] | ~index.droppable[first:stop]
    unsure = ~index.in_order[first:stop]  # their dependencies are unknown
    reached = index.needs.all_of((first + np.flatnonzero(requested[first:stop] | unsure)).tolist())
    is_needed = np.zeros(stop - first, bool)
    is_needed[[n - first for n in reached if first <= n < stop]] = True
    return is_needed


def _with_previous(pts: np.ndarray, requested: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> list[list[int]]:
    """Lists of neighboring groups that must be decoded together, in order."""
    needed = [bool(requested[a:b].any()) for a, b in zip(starts, stops, strict=True)]
    lists, g = [], len(starts) - 1
    while g >= 0:
        if not needed[g]:
            g -= 1
            continue
        together = [g]
        while g > 0 and (pts[starts[g] : stops[g]][requested[starts[g] : stops[g]]] < pts[starts[g]]).any():
            g -= 1
            together.insert(0, g)
        lists.append(together)
        g -= 1
    return lists[::-1]
