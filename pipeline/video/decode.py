"""Wanted frames of a video, each bit for bit as decoding the whole video gives it, most other frames left out.

Where a decoder complains, or anything is not as the packets' headers said, the whole video is decoded instead. Knows
no crops and no cache.
"""

import bisect
import itertools
import math
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import av
import av.logging
import numpy as np

from embedonce.pipeline.video.container import SignClock, check_size, opened, packets_of
from embedonce.pipeline.video.ffmpeg_log import capture_log, is_complaint
from embedonce.pipeline.video.geometry import Orientations
from embedonce.pipeline.video.indexing import read_index
from embedonce.pipeline.video.orientation import UPRIGHT
from embedonce.pipeline.video.packets import SUPERSEDED, PacketIndex
from embedonce.pipeline.video.skipping import FeedPlan, PackedPlan, plan_feed, whole_plan

KEPT_BYTES = 48_000_000  # of packets that are kept from indexing to decoding; where there are more, they are read again
BYTES_PER_PACKET = 500  # of memory, beside its data


class _DoubtError(Exception):
    """Something is not as the packets' headers promised."""


class WantedFrames:
    """Decodes the wanted frames of one video; iterate over it once.

    frame_index, pts: (n,) int64, increasing. by_order: pts do not tell frames apart, which are known by their order.
    Yields (i, av.VideoFrame) for wanted frame i, in order. A frame that cannot be decoded, that its decoder calls
    corrupt, or that depends on data the decoder complained of is not yielded: its neighbor never takes its place.
    Yields None now and then as a sign of life. way: how it was done, for the record. num_fed: packets decoded.
    orientation: of the frame that was yielded last. plan: what the scan found that these frames need, so that the index
    need not be read again unless there is doubt; frames are then known by the packets' own pts.
    complaint: the decoder's first one, or None.
    """

    def __init__(
        self,
        path: Path,
        frame_index: np.ndarray,
        pts: np.ndarray,
        by_order: bool,
        decoder: str = "software",
        plan: PackedPlan | None = None,
    ):
        self._planned = plan
        self._path, self._by_order, self._decoder = path, by_order, decoder
        self._identities = (frame_index if by_order else pts).tolist()
        self._next = 0  # the first wanted frame that may still come
        self._due = self._identities[0] if self._identities else math.inf
        self.way, self.num_fed, self.orientation = "nothing", 0, UPRIGHT
        self.complaint: str | None = None
        self.num_found = 0  # wanted frames that were given

    def __iter__(self) -> Iterator[tuple[int, av.VideoFrame] | None]:
        if not len(self._identities):
            return
        index, plan, kept = None, self._planned and self._planned.unpacked(), _Kept()
        if plan is not None:
            with opened(self._path, self._decoder, plan.stream) as (container, stream):
                doubt = yield from self._attempted(index, plan, stream, packets_of(container, stream))
            if doubt is None:
                return
        with opened(self._path, self._decoder) as (container, stream):
            index = yield from read_index(container, stream, kept.add)
            plan = self._plan(index) if plan is None else self._whole_plan(index, doubt)
            if kept.packets is not None:
                doubt = yield from self._attempted(index, plan, stream, kept.packets)
                plan = None if doubt is None else self._whole_plan(index, doubt)
        while plan is not None:
            with opened(self._path, self._decoder) as (container, stream):
                doubt = yield from self._attempted(index, plan, stream, packets_of(container, stream))
                plan = None if doubt is None else self._whole_plan(index, doubt)

    def _plan(self, index: PacketIndex) -> FeedPlan:
        if self._by_order or index.pts is None:
            return self._whole_plan(index, index.doubt or "its frames are known by their order")
        return plan_feed(index, np.array(self._identities, np.int64))

    def _whole_plan(self, index: PacketIndex, doubt: str) -> FeedPlan:
        is_known = not self._by_order and index.pts is not None
        return whole_plan(index, np.array(self._identities, np.int64) if is_known else None, doubt)

    def _attempted(
        self, index: PacketIndex | None, plan: FeedPlan, stream, packets: Iterable[av.Packet]
    ) -> Generator[tuple[int, av.VideoFrame] | None, None, str | None]:
        """Decode by this plan with a fresh decoder; returns why everything must be decoded instead, or None."""
        self.way = "skipping" if plan.doubt is None else f"whole ({plan.doubt})"
        try:
            yield from self._decoded(_Feeder(stream, packets, index, plan), plan)
        except _DoubtError as doubt:
            return str(doubt)
        return None

    def _decoded(self, feeder: "_Feeder", plan: FeedPlan) -> Iterator[tuple[int, av.VideoFrame] | None]:
        """The wanted frames from the first on that has not been yielded."""
        skips, clock, latest = plan.doubt is None, SignClock(), None
        orient, turns = Orientations(), not skips or plan.turns
        with capture_log() as messages:
            for frames in feeder.frames(messages):
                for order, frame, is_sound in frames:
                    i = self._position(order if self._by_order else frame.pts)
                    if turns or i is not None:
                        self.orientation = orient(frame)
                    if skips and not is_sound:
                        raise _DoubtError("its decoder complains")
                    if skips and (frame.pts is None or (latest is not None and frame.pts <= latest)):
                        raise _DoubtError("frames came out in another order than their timestamps'")
                    if skips and i is not None and i != self._next:
                        raise _DoubtError("a frame did not come out")
                    latest = frame.pts
                    if i is None:
                        continue
                    self._next = i + 1
                    self._due = self._identities[self._next] if self._next < len(self._identities) else math.inf
                    if is_sound:
                        self.num_found += 1
                        yield i, frame
                self.num_fed, self.complaint = feeder.num_fed, self.complaint or feeder.complaint
                if self._next == len(self._identities):
                    return
                if clock.is_due():
                    yield None
        if skips:
            raise _DoubtError("a frame did not come out")

    def _position(self, identity: int | None) -> int | None:
        """Which wanted frame this is; None where it is not wanted. Most often the next one, or none before it."""
        due = self._due
        if identity is None or identity < due:
            return None
        if identity == due:
            return self._next
        i = bisect.bisect_left(self._identities, identity, self._next)
        return i if i < len(self._identities) and self._identities[i] == identity else None


class _Kept:
    """The packets of a video, as long as they are few: None once they are too many."""

    def __init__(self):
        self.packets: list[av.Packet] | None = []
        self._num_bytes = 0

    def add(self, packet: av.Packet) -> None:
        self._num_bytes += packet.size + BYTES_PER_PACKET
        if self._num_bytes > KEPT_BYTES:
            self.packets = None
        elif self.packets is not None:
            self.packets.append(packet)


class _Feeder:
    """Gives a decoder the packets of a plan and takes what comes out, with the decoder's own word on its soundness."""

    def __init__(self, stream, packets: Iterable[av.Packet], index: PacketIndex | None, plan: FeedPlan):
        self._codec_context, self._packets, self._plan = stream.codec_context, packets, plan
        self._index = index
        self._stains = _AnyComplaint() if index is None else CorruptionTracker(index)
        order = None if index is None else index.header_order
        self._ranks = None if order is None else {number: rank for rank, number in enumerate(order.tolist())}
        self.num_fed, self.complaint = 0, None

    def frames(self, messages: list) -> Iterator[list[tuple[int, av.VideoFrame, bool]]]:
        """For each packet fed: (order, frame, is_sound) of the frames that came out with it.

        Now and then an empty list, while packets are passed over. messages: where FFmpeg's messages arrive.
        """
        order, clock = itertools.count(), SignClock()
        feed, run_start = self._plan.feed.tobytes(), self._plan.run_start.tobytes()
        last = feed.rfind(1)
        for n, packet in enumerate(itertools.islice(self._packets, last + 1)):
            if clock.is_due():
                yield []
            if run_start[n]:
                yield self._shown(self._fed(None, None, messages), order)
                self._codec_context.flush_buffers()
            if feed[n]:
                frames = self._fed(n, packet, messages)
                complaint = _first_complaint(messages) if messages else None
                self.complaint = self.complaint or complaint
                self._stains.note(n, complaint is not None)
                if frames:
                    yield self._shown(frames, order)
        yield self._shown(self._fed(None, None, messages), order)

    def _shown(self, found: list[tuple], count: Iterator[int]) -> list[tuple[int, av.VideoFrame, bool]]:
        """The frames, judged, without those that are never shown; these are counted all the same."""
        return [judged for judged in self._judged(found, count) if judged[1].pts != SUPERSEDED]

    def _fed(self, n: int | None, packet: av.Packet | None, messages: list) -> list[tuple[int | None, av.VideoFrame]]:
        """(packet, frame) of the frames that come out when packet n is fed, each with the pts of the packet it came of.

        A decoder hands a packet's pts on to its frame: here it is the packet's number, for pts may be equal.
        """
        messages.clear()
        if packet is not None:
            self.num_fed += 1
            if self._index is not None:
                packet.pts = n
        try:
            frames = self._codec_context.decode(packet)
        except av.error.FFmpegError as error:
            messages.append((av.logging.ERROR, "", str(error)))
            return []
        return [self._named(frame) for frame in frames]

    def _named(self, frame: av.VideoFrame) -> tuple[int | None, av.VideoFrame]:
        check_size(frame.width, frame.height)
        if self._index is None:
            return None, frame
        number = frame.pts
        frame.pts = self._index.shown_at(number)
        return number, frame

    def _judged(self, found: list[tuple], count: Iterator[int]) -> list[tuple[int, av.VideoFrame, bool]]:
        return [
            (self._order(number, next(count)), frame, not frame.is_corrupt and not self._stains.on(frame.pts))
            for number, frame in found
        ]

    def _order(self, number: int | None, counted: int) -> int:
        """Which frame in the order of output this is: by its packet where headers tell, else as counted."""
        return counted if self._ranks is None else self._ranks.get(number, -1)


def _first_complaint(messages: list) -> str | None:
    return next((text for level, _, text in messages if is_complaint(level, text)), None)


class _AnyComplaint:
    """Stands for CorruptionTracker where the index is not at hand: after one complaint nothing is sound."""

    def __init__(self):
        self._has_complained = False

    def note(self, _n: int, is_complaint: bool) -> None:
        self._has_complained |= is_complaint

    def on(self, _pts: int | None) -> bool:
        return self._has_complained


class CorruptionTracker:
    """Which frames depend on data that is lost or that the decoder complained of.

    A complaint stains the frame it came with and, if others may need that one, all that follow until decoding can
    begin anew; so does what the file has lost. Where packets have no pts, frames are known by the packets' numbers.
    """

    def __init__(self, index: PacketIndex):
        self._pts, self._droppable = index.pts, index.droppable.tobytes()
        restart = index.is_start if index.doubt is None else index.is_key
        self._is_restart = (restart if index.is_restart is None else index.is_restart).tobytes()
        nothing, losses = bytes(len(index.is_key)), index.losses
        self._is_torn = nothing if losses is None else losses.is_torn.tobytes()
        self._is_cut = nothing if losses is None else losses.is_cut.tobytes()
        self._is_half = nothing if index.is_half is None else index.is_half.tobytes()
        self._stained: set[int] = set()
        self._now = self._before = False  # this group, the one before it
        self._group_pts = 0

    def note(self, n: int, is_complaint: bool) -> None:
        """Packet n was fed; is_complaint: the decoder complained."""
        pts = n if self._pts is None else int(self._pts[n])
        self._now |= bool(self._is_cut[n])
        if self._is_restart[n]:
            self._before, self._now = self._now, False
            self._group_pts = pts
        is_leading = self._pts is not None and pts < self._group_pts
        if self._is_torn[n] or (is_complaint and not self._droppable[n]):
            self._before |= is_leading  # which no later frame needs, for else decoding could not begin there
            self._now |= bool(self._is_torn[n]) or not is_leading
        if self._now or is_complaint or (self._before and is_leading):
            self._stained.add(pts)
            if self._is_half[n]:  # its frame has the number and the pts of the packet before
                self._stained.add(n - 1 if self._pts is None else int(self._pts[n - 1]))

    def on(self, pts: int | None) -> bool:
        """Whether the frame with these pts, or of the packet with this number, is stained."""
        return self._now if pts is None else pts in self._stained
