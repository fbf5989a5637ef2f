"""Reading the index of a video's packets: every packet is read once, none is decoded."""

from collections.abc import Generator

import av
import numpy as np

from pipeline.video.bits import BitsError
from pipeline.video.container import VideoError, packets_of
from pipeline.video.h264 import H264Inspector
from pipeline.video.hevc import HevcInspector
from pipeline.video.packets import PacketFacts, PacketIndex
from pipeline.video.vpx_av1 import Av1Inspector, Vp8Inspector, Vp9Inspector

MAX_FRAMES = 24 * 3600 * 240
INSPECTORS = {
    "h264": H264Inspector,
    "hevc": HevcInspector,
    "vp8": Vp8Inspector,
    "vp9": Vp9Inspector,
    "av1": Av1Inspector,
    "libdav1d": Av1Inspector,
}
PACKETS_PER_SIGN = 2000  # of life, while an index is read


def read_index(container, stream, visit=lambda packet: None) -> Generator[None, None, PacketIndex]:
    """Yields None now and then as a sign of life; returns the PacketIndex. visit: called with each packet."""
    builder, errors = _IndexBuilder(stream), []
    for packet in packets_of(container, stream, errors):
        builder.add(packet)
        visit(packet)
        if len(builder.pts) % PACKETS_PER_SIGN == 0:
            yield None
    return builder.index(next(iter(errors), None))


class _IndexBuilder:
    """Gathers what is known of each packet."""

    def __init__(self, stream):
        self.pts: list[int | None] = []
        self.flags: list[tuple[bool, ...]] = []  # is_key, is_hidden, is_start, droppable, in_order
        self.doubt = None
        self.last_shown, self.last_duration = None, 0
        self._inspector = self._make_inspector(stream.codec_context)

    def _make_inspector(self, context):
        kind = INSPECTORS.get(context.name)
        if kind is None:
            self.doubt = f"no frame of {context.name} is known to be needed by no other"
            return None
        try:
            return kind(bytes(context.extradata or b""))
        except (BitsError, IndexError) as error:
            self.doubt = str(error) if isinstance(error, BitsError) else "its headers end too early"
            return None

    def add(self, packet: av.Packet) -> None:
        if len(self.pts) == MAX_FRAMES:
            raise VideoError(f"it has more than {MAX_FRAMES} frames")
        facts = self._look(packet)
        self.pts.append(packet.pts)
        self.flags.append((packet.is_keyframe, packet.is_discard, facts.is_start, facts.droppable, facts.in_order))
        is_last = packet.pts is not None and (self.last_shown is None or packet.pts >= self.last_shown)
        if is_last and not packet.is_discard:
            self.last_shown, self.last_duration = packet.pts, packet.duration or 0

    def _look(self, packet: av.Packet) -> PacketFacts:
        if self.doubt is None:
            try:
                if packet.is_corrupt:
                    raise BitsError("the container calls packets corrupt")
                if packet.has_sidedata("new_extradata") or packet.has_sidedata("param_change"):
                    raise BitsError("its parameters change")
                return self._inspector.look(memoryview(packet))
            except BitsError as error:
                self.doubt = str(error)
        return PacketFacts(False, False)

    def index(self, error: str | None) -> PacketIndex:
        shown = [pts for pts, flags in zip(self.pts, self.flags, strict=True) if not flags[1]]
        usable = None not in self.pts and len(set(shown)) == len(shown)
        columns = np.array(self.flags, bool).reshape(-1, 5).T
        return PacketIndex(
            np.array(self.pts, np.int64) if usable else None,
            *columns,
            doubt=self.doubt if usable else "its packets have no usable timestamps",
            last_duration=self.last_duration,
            error=error,
        )
