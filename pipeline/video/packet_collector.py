"""Collects what the packets of a video state, one after another, in a few bytes each. Concludes nothing from it."""

from array import array
from dataclasses import dataclass

import av
import numpy as np

from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.ffmpeg_log import is_data_loss, position_in_message
from embedonce.pipeline.video.headers.bits import BitsError
from embedonce.pipeline.video.headers.h264_slices import is_intra
from embedonce.pipeline.video.headers.inspectors import INSPECTORS
from embedonce.pipeline.video.packets import Needs, PacketFacts

FLAGS = (
    *("is_key", "is_hidden", "is_start", "droppable", "in_order", "is_restart"),  # as in PacketIndex
    *("is_incomplete", "follows_gap", "is_encrypted", "has_pts", "has_dts", "is_half"),
)
NUM_INDEX_FLAGS = 6
NUMBERS = ("pts", "dts", "order", "position", "duration")
CHANGES = {"new_extradata", "param_change"}  # packet side data that changes parameters
MAX_FRAMES = 24 * 3600 * 120


@dataclass(frozen=True)
class PacketTable:
    """What n packets state, in decoding order.

    numbers: of NUMBERS, (n,) int64 each; pts and dts are 0 where there are none, positions -1. flags: of FLAGS, (n,)
    bool each. needs: as in PacketIndex. unread_reason: why the headers of some packets, or of all, were not read, or
    None. unskippable_reason: why nothing may be skipped although they were, or None. skipped_data: as for
    LossFinder.add_skipped_data. last_duration, has_orientations: as in PacketIndex.
    """

    numbers: dict[str, np.ndarray]
    flags: dict[str, np.ndarray]
    needs: Needs | None
    unread_reason: str | None
    unskippable_reason: str | None
    skipped_data: list[tuple[int | None, int | None]]
    last_duration: int
    has_orientations: bool


class PacketCollector:
    """Makes a PacketTable of the packets of a stream.

    count: of packets so far. fallback_reason: why the video must be decoded completely, as far as is known, or None.
    """

    def __init__(self, stream):
        context = stream.codec_context
        self._format, self._codec = stream.container.format.name, context.name
        self._extradata = bytes(context.extradata or b"")
        self._numbers = array("q")  # NUMBERS of each packet in turn
        self._flags = bytearray()  # FLAGS of each packet in turn
        self._has_orientations = False
        self._skipped_data: list[tuple[int | None, int | None]] = []
        self._needs, self._need_ends = array("i"), array("i")
        self._knows_needs = True
        self.count, self.fallback_reason = 0, None
        self._last_shown, self._last_duration = None, 0
        self._inspector = self._make_inspector()

    def _make_inspector(self):
        kind = INSPECTORS.get(self._codec)
        if kind is None:
            self.fallback_reason = f"the frame dependencies of {self._codec} are unknown"
            return None
        try:
            return kind(self._extradata)
        except (BitsError, IndexError) as error:
            self.fallback_reason = _reason(error)
            return None

    def collect(self, messages: list, arrived: int | None) -> None:
        """What FFmpeg said while it read this packet, or None, some ahead."""
        for level, name, text in messages:
            if name == self._format and is_data_loss(level, text):
                self._skipped_data.append((position_in_message(text), arrived))
        messages.clear()

    def add(self, packet: av.Packet) -> None:
        """Add the next packet. VideoError if there are too many."""
        n = self.count
        if n == MAX_FRAMES:
            raise VideoError(f"it has more than {MAX_FRAMES} frames")
        sides = [side.data_type for side in packet.iter_sidedata()]
        facts = self._look(packet, sides)
        pts, dts, position, duration = packet.pts, packet.dts, packet.pos, packet.duration or 0
        order = n if facts.order is None else facts.order
        self._numbers.extend((pts or 0, dts or 0, order, -1 if position is None else position, duration))
        is_key, is_hidden = packet.is_keyframe, packet.is_discard or not facts.is_shown
        is_restart = facts.is_start or (is_key and self._is_restart(packet))
        is_encrypted = "encryption_info" in sides
        self._has_orientations |= "display_matrix" in sides
        flags = (is_key, is_hidden, facts.is_start, facts.droppable, facts.in_order, is_restart)
        more_flags = (
            packet.is_corrupt,
            facts.follows_gap,
            is_encrypted,
            pts is not None,
            dts is not None,
            facts.is_half,
        )
        self._flags.extend((*flags, *more_flags))
        if facts.is_half and pts is not None:
            self._lengthen(pts + duration)
        self._needs.extend(facts.needs or ())
        self._knows_needs &= facts.needs is not None
        self._need_ends.append(len(self._needs))
        self.count += 1
        if pts is not None and not is_hidden and (self._last_shown is None or pts >= self._last_shown):
            self._last_shown, self._last_duration = pts, duration

    def table(self) -> PacketTable:
        """What was collected, once the last packet was added."""
        if self.fallback_reason is None and getattr(self._inspector, "is_half", False):
            self.fallback_reason = "it ends with a single field"
        numbers = np.array(self._numbers, np.int64).reshape(-1, len(NUMBERS))
        flags = np.array(self._flags, bool).reshape(-1, len(FLAGS))
        return PacketTable(
            dict(zip(NUMBERS, numbers.T.copy(), strict=True)),
            dict(zip(FLAGS, flags.T.copy(), strict=True)),
            Needs(self._need_ends, self._needs) if self._knows_needs else None,
            self.fallback_reason,
            getattr(self._inspector, "fallback_reason", None),
            self._skipped_data,
            self._last_duration,
            self._has_orientations or getattr(self._inspector, "has_orientations", False),
        )

    def _lengthen(self, end: int) -> None:
        """Extend the duration of the previous frame, whose second field was the last packet, to this time."""
        at = (self.count - 1) * len(NUMBERS)
        begin, has_pts = self._numbers[at], self._flags[(self.count - 1) * len(FLAGS) + FLAGS.index("has_pts")]
        if has_pts and end > begin:
            self._numbers[at + NUMBERS.index("duration")] = end - begin
            if begin == self._last_shown:
                self._last_duration = end - begin

    def _is_restart(self, packet: av.Packet) -> bool:
        return self._codec != "h264" or is_intra(bytes(packet), self._extradata)

    def _look(self, packet: av.Packet, sides: list[str]) -> PacketFacts:
        if self.fallback_reason is None:
            try:
                if packet.is_corrupt:
                    raise BitsError("the container marks packets as corrupt")
                if not CHANGES.isdisjoint(sides):
                    raise BitsError("its parameters change")
                return self._inspector.look(bytes(packet))
            except (BitsError, IndexError) as error:
                self.fallback_reason = _reason(error)
        return PacketFacts(False, False)


def _reason(error: BitsError | IndexError) -> str:
    return str(error) if isinstance(error, BitsError) else "its headers end too early"
