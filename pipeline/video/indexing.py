"""Reading the index of a video's packets: every packet is read once, none is decoded."""

from array import array
from collections.abc import Generator

import av
import numpy as np

from pipeline.video.bits import BitsError
from pipeline.video.container import SignClock, VideoError, packets_of
from pipeline.video.inspectors import INSPECTORS, KEEPS_ORDER
from pipeline.video.packets import Needs, PacketFacts, PacketIndex

FLAGS = ("is_key", "is_hidden", "is_start", "droppable", "in_order")  # as in PacketIndex
CHANGES = {"new_extradata", "param_change"}  # side data of packets
MAX_FRAMES = 24 * 3600 * 120


def read_index(container, stream, visit=lambda packet: None) -> Generator[None, None, PacketIndex]:
    """Yields None now and then as a sign of life; returns the PacketIndex. visit: called with each packet."""
    builder, errors, clock = _IndexBuilder(stream), [], SignClock()
    for packet in packets_of(container, stream, errors):
        builder.add(packet)
        visit(packet)
        if clock.is_due():
            yield None
    return builder.index(next(iter(errors), None))


class _IndexBuilder:
    """Gathers what is known of each packet, in a few bytes each."""

    def __init__(self, stream):
        self.pts, self.order = array("q"), array("q")
        self.flags = bytearray()  # of each packet in turn: FLAGS
        self._needs, self._need_ends = array("i"), array("i")
        self._tells_needs = True
        self.doubt, self._has_pts = None, True
        self.last_shown, self.last_duration = None, 0
        context = stream.codec_context
        self._may_reorder = context.codec.reorder and context.name not in KEEPS_ORDER
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
        n = len(self.pts)
        if n == MAX_FRAMES:
            raise VideoError(f"it has more than {MAX_FRAMES} frames")
        facts = self._look(packet)
        self._has_pts &= packet.pts is not None
        self.pts.append(packet.pts or 0)
        self.order.append(n if facts.order is None else facts.order)
        self._needs.extend(facts.needs or ())
        self._tells_needs &= facts.needs is not None
        is_hidden = packet.is_discard or not facts.is_shown
        self.flags.extend((packet.is_keyframe, is_hidden, facts.is_start, facts.droppable, facts.in_order))
        self._need_ends.append(len(self._needs))
        is_last = packet.pts is not None and (self.last_shown is None or packet.pts >= self.last_shown)
        if is_last and not is_hidden:
            self.last_shown, self.last_duration = packet.pts, packet.duration or 0

    def _look(self, packet: av.Packet) -> PacketFacts:
        if self.doubt is None:
            try:
                if packet.is_corrupt:
                    raise BitsError("the container calls packets corrupt")
                if any(side.data_type in CHANGES for side in packet.iter_sidedata()):
                    raise BitsError("its parameters change")
                return self._inspector.look(bytes(packet))
            except (BitsError, IndexError) as error:
                self.doubt = str(error) if isinstance(error, BitsError) else "its headers end too early"
        return PacketFacts(False, False)

    def index(self, error: str | None) -> PacketIndex:
        pts, flags = np.array(self.pts, np.int64), np.array(self.flags, bool).reshape(-1, len(FLAGS))
        columns = dict(zip(FLAGS, flags.T.copy(), strict=True))
        shown = ~columns["is_hidden"]
        usable = self._has_pts and len(np.unique(pts[shown])) == shown.sum()
        in_turn = bool((np.diff(np.array(self.order)[shown][np.argsort(pts[shown], kind="stable")]) > 0).all())
        # Timestamps in the order of decoding, or none: where headers are understood, frames can be counted by them
        is_counted = self.doubt is None and (not usable or bool((np.diff(pts[shown]) > 0).all()))
        doubt = self.doubt or (None if in_turn else "its timestamps are not in the order in which its frames come out")
        return PacketIndex(
            pts=pts if usable else None,
            **columns,
            doubt=doubt if usable else "its packets have no usable timestamps",
            is_ordered=in_turn and (self.doubt is None or not self._may_reorder),
            last_duration=self.last_duration,
            error=error,
            tells_order=is_counted,
            needs=Needs(self._need_ends, self._needs) if self._tells_needs else None,
        )
