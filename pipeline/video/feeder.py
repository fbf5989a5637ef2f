"""Feeding a decoder the packets of a plan, and taking its frames with their state: intact or corrupt."""

import itertools
from collections.abc import Iterable, Iterator

import av
import av.logging

from embedonce.pipeline.video.container import HeartbeatClock, check_size
from embedonce.pipeline.video.corruption import AnyMessageTracker, CorruptionTracker
from embedonce.pipeline.video.ffmpeg_log import is_damage
from embedonce.pipeline.video.packets import SUPERSEDED, PacketIndex
from embedonce.pipeline.video.skipping import FeedPlan

KEPT_BYTES = 48_000_000  # packets kept in memory from indexing to decoding; more are read from the file again
BYTES_PER_PACKET = 500  # memory per packet, in addition to its data


class KeptPackets:
    """The packets of a video, kept in memory as long as they are few; None once there are too many."""

    def __init__(self):
        self.packets: list[av.Packet] | None = []
        self._num_bytes = 0

    def add(self, packet: av.Packet) -> None:
        self._num_bytes += packet.size + BYTES_PER_PACKET
        if self._num_bytes > KEPT_BYTES:
            self.packets = None
        elif self.packets is not None:
            self.packets.append(packet)


class Feeder:
    """Feeds a decoder the packets of a plan and returns its frames, each with whether it is intact."""

    def __init__(self, stream, packets: Iterable[av.Packet | None], index: PacketIndex | None, plan: FeedPlan):
        self._codec_context, self._packets, self._plan = stream.codec_context, packets, plan
        self._index = index
        self._corruption = AnyMessageTracker() if index is None else CorruptionTracker(index)
        order = None if index is None else index.header_order
        self._ranks = None if order is None else {number: rank for rank, number in enumerate(order.tolist())}
        self.num_fed = 0
        self.complaint: str | None = None

    def frames(self, messages: list) -> Iterator[list[tuple[int, av.VideoFrame, bool]]]:
        """For each packet fed: (order, frame, is_intact) of the frames that came out with it.

        Yields an empty list as a heartbeat while packets are skipped. messages: the list that receives FFmpeg's
        messages.
        """
        order, clock = itertools.count(), HeartbeatClock()
        feed, run_start = self._plan.feed.tobytes(), self._plan.run_start.tobytes()
        packets = iter(self._packets)
        for n in range(feed.rfind(1) + 1):
            if clock.is_due():
                yield []
            if run_start[n]:  # before the packet is read: seeking flushes the decoder, too
                yield self._shown(self._fed(None, None, messages), order)
                self._codec_context.flush_buffers()
            try:
                packet = next(packets)
            except StopIteration:
                break
            if feed[n]:
                frames = self._fed(n, packet, messages)
                complaint = _first_error(messages) if messages else None
                self.complaint = self.complaint or complaint
                self._corruption.note(n, complaint is not None)
                if frames:
                    yield self._shown(frames, order)
        yield self._shown(self._fed(None, None, messages), order)

    def _shown(self, found: list[tuple], count: Iterator[int]) -> list[tuple[int, av.VideoFrame, bool]]:
        """The frames with their state, without those that are never displayed; these are counted as well."""
        return [frame for frame in self._with_state(found, count) if frame[1].pts != SUPERSEDED]

    def _fed(self, n: int | None, packet: av.Packet | None, messages: list) -> list[tuple[int | None, av.VideoFrame]]:
        """(packet number, frame) of the frames that come out when packet n is fed, each with the pts of its packet.

        Decoders copy a packet's pts to its frame. It is replaced with the packet's number, since pts may be equal.
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

    def _with_state(self, found: list[tuple], count: Iterator[int]) -> list[tuple[int, av.VideoFrame, bool]]:
        return [
            (self._order(number, next(count)), frame, not frame.is_corrupt and not self._corruption.on(frame.pts))
            for number, frame in found
        ]

    def _order(self, number: int | None, counted: int) -> int:
        """The frame's position in output order: by its packet if headers determine it, otherwise as counted."""
        return counted if self._ranks is None else self._ranks.get(number, -1)


def _first_error(messages: list) -> str | None:
    return next((text for level, _, text in messages if is_damage(level, text)), None)
