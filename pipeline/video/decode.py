"""Decode the requested frames of a video, each bit for bit as a full decode gives it, skipping most other frames.

If the decoder reports an error, or anything contradicts the packets' headers, the video is decoded completely instead.
"""

import bisect
import contextlib
import math
from collections.abc import Generator, Iterable, Iterator

import av
import av.logging
import numpy as np

from embedonce.pipeline.video.container import HeartbeatClock, open_video, packets_of
from embedonce.pipeline.video.feeder import Feeder, KeptPackets
from embedonce.pipeline.video.ffmpeg_log import capture_log
from embedonce.pipeline.video.geometry import Orientations
from embedonce.pipeline.video.header_index import index_by_header
from embedonce.pipeline.video.indexing import read_index
from embedonce.pipeline.video.location import VideoLocation
from embedonce.pipeline.video.orientation import UPRIGHT
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.sampled_packets import MismatchError
from embedonce.pipeline.video.seeking import packets_from
from embedonce.pipeline.video.skipping import FeedPlan, PackedPlan, plan_feed, plan_full_decode
from embedonce.pipeline.video.sought_packets import can_be_sought, sought_packets

SKIPPING = "skipping"  # how a video is decoded of which some packets are skipped


class FallbackError(Exception):
    """Something contradicts the packets' headers, so that the video must be decoded completely."""


class RequestedFrames:
    """Decodes the requested frames of one video; iterate over it once.

    frame_index, pts: (n,) int64, increasing. by_order: pts do not identify frames; their output order does. Yields (i,
    av.VideoFrame) for requested frame i, in order. A frame that cannot be decoded, is marked as corrupt by its decoder,
    or depends on damaged data is not yielded, and no other frame is yielded in its place. Yields None as a heartbeat.
    plan: the packets that these frames depend on, from the scan, so that the index need not be read again unless
        decoding falls back; frames are then identified by the packets' own pts.

    Attributes: way: how it was decoded. num_fed: number of decoded packets. orientation: of the last yielded frame.
    complaint: the decoder's first error, or None. num_found: number of yielded frames.
    """

    def __init__(
        self,
        path: VideoLocation,
        frame_index: np.ndarray,
        pts: np.ndarray,
        by_order: bool,
        decoder: str = "software",
        plan: PackedPlan | None = None,
    ):
        self._planned = plan
        self._path, self._by_order, self._decoder = path, by_order, decoder
        self._requested = (frame_index if by_order else pts).tolist()
        self._next = 0  # the first requested frame not yielded yet
        self._next_identity = self._requested[0] if self._requested else math.inf
        self.way, self.num_fed, self.orientation = "nothing", 0, UPRIGHT
        self.complaint: str | None = None
        self.num_found = 0  # requested frames that were yielded

    def __iter__(self) -> Iterator[tuple[int, av.VideoFrame] | None]:
        if not len(self._requested):
            return
        fallback_reason = None
        if self._planned is not None:
            fallback_reason = yield from self._by_plan(self._planned)
            if fallback_reason is None:
                return
        index, plan = yield from self._indexed(fallback_reason)
        while plan is not None:
            fallback_reason = yield from self._reopened(index, plan)
            plan = None if fallback_reason is None else self._whole_plan(index, fallback_reason)

    def _indexed(
        self, fallback_reason: str | None
    ) -> Generator[tuple[int, av.VideoFrame] | None, None, tuple[PacketIndex, FeedPlan | None]]:
        """Index the video, by its header if that is enough. If few packets were read for this, decode them.

        Returns the index, and the plan for what is still to be decoded, or None.
        """
        for by_header in (self._decoder == "software" and fallback_reason is None, False):
            with open_video(self._path, self._decoder) as (container, stream), contextlib.suppress(MismatchError):
                listed = (yield from index_by_header(container, stream, lambda packet: None)) if by_header else None
                if listed is not None:
                    return listed, self._plan(listed)
                kept = KeptPackets()
                index = yield from read_index(container, stream, kept.add)
                plan = self._next_plan(index, fallback_reason)
                if kept.packets is None:
                    return index, plan
                fallback_reason = yield from self._attempt(index, plan, stream, kept.packets)
                return index, None if fallback_reason is None else self._whole_plan(index, fallback_reason)
        raise AssertionError("all packets were read")

    def _reopened(
        self, index: PacketIndex | None, plan: FeedPlan
    ) -> Generator[tuple[int, av.VideoFrame] | None, None, str | None]:
        """_attempt() with the packets of the file, opened again."""
        with open_video(self._path, self._decoder, plan.stream) as (container, stream):
            packets: Iterable[av.Packet | None] = packets_of(container, stream)
            if plan.is_sought and can_be_sought(stream, plan.feed, self._requested):
                packets = sought_packets(container, stream, plan.feed, self._requested)
            return (yield from self._attempt(index, plan, stream, packets))

    def _by_plan(self, plan: PackedPlan) -> Generator[tuple[int, av.VideoFrame] | None, None, str | None]:
        """Decode by a plan from the scan, as _attempt() does; read from its first packet on where that is exact."""
        if plan.begin is not None:
            with open_video(self._path, self._decoder, plan.stream) as (container, stream):
                packets = yield from packets_from(container, stream, plan.begin)
                if packets is not None:
                    return (yield from self._attempt(None, plan.unpacked(), stream, packets))
        return (yield from self._reopened(None, plan.from_the_start().unpacked()))

    def _next_plan(self, index: PacketIndex, fallback_reason: str | None) -> FeedPlan:
        return self._plan(index) if fallback_reason is None else self._whole_plan(index, fallback_reason)

    def _plan(self, index: PacketIndex) -> FeedPlan:
        if self._by_order or index.pts is None:
            return self._whole_plan(index, index.fallback_reason or "its frames are identified by their output order")
        return plan_feed(index, np.array(self._requested, np.int64))

    def _whole_plan(self, index: PacketIndex, fallback_reason: str) -> FeedPlan:
        is_known = not self._by_order and index.pts is not None
        return plan_full_decode(index, np.array(self._requested, np.int64) if is_known else None, fallback_reason)

    def _attempt(
        self, index: PacketIndex | None, plan: FeedPlan, stream, packets: Iterable[av.Packet | None]
    ) -> Generator[tuple[int, av.VideoFrame] | None, None, str | None]:
        """Decode by this plan with a new decoder; return why a full decode is needed instead, or None."""
        self.way = SKIPPING if plan.fallback_reason is None else f"whole ({plan.fallback_reason})"
        try:
            yield from self._decoded(Feeder(stream, packets, index, plan), plan)
        except (FallbackError, MismatchError) as fallback_reason:
            return str(fallback_reason)
        return None

    def _decoded(self, feeder: "Feeder", plan: FeedPlan) -> Iterator[tuple[int, av.VideoFrame] | None]:
        """Yield the requested frames that were not yielded before."""
        skips, clock, latest = plan.fallback_reason is None, HeartbeatClock(), None
        orient, has_orientations = Orientations(), not skips or plan.has_orientations
        with capture_log() as messages:
            for frames in feeder.frames(messages):
                for order, frame, is_sound in frames:
                    i = self._position(order if self._by_order else frame.pts)
                    if has_orientations or i is not None:
                        self.orientation = orient(frame)
                    if skips and not is_sound:
                        raise FallbackError("its decoder reports errors")
                    if skips and (frame.pts is None or (latest is not None and frame.pts <= latest)):
                        raise FallbackError("frames came out in a different order than their timestamps")
                    if skips and i is not None and i != self._next:
                        raise FallbackError("a frame did not come out")
                    latest = frame.pts
                    if i is None:
                        continue
                    self._next = i + 1
                    self._next_identity = self._requested[self._next] if self._next < len(self._requested) else math.inf
                    if is_sound:
                        self.num_found += 1
                        yield i, frame
                self.num_fed, self.complaint = feeder.num_fed, self.complaint or feeder.complaint
                if self._next == len(self._requested):
                    return
                if clock.is_due():
                    yield None
        if skips:
            raise FallbackError("a frame did not come out")

    def _position(self, identity: int | None) -> int | None:
        """Index of the requested frame with this identity, or None. Usually it is the next one."""
        due = self._next_identity
        if identity is None or identity < due:
            return None
        if identity == due:
            return self._next
        i = bisect.bisect_left(self._requested, identity, self._next)
        return i if i < len(self._requested) and self._requested[i] == identity else None
