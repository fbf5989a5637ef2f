"""Index a video's packets: each packet is read once, none is decoded."""

from array import array
from collections.abc import Callable, Generator

import av
import numpy as np

from embedonce.pipeline.video.container import (
    HeartbeatClock,
    VideoError,
    location_of,
    messages_while_opening,
    packets_of,
)
from embedonce.pipeline.video.ffmpeg_log import capture_log, is_data_loss, position_in_message
from embedonce.pipeline.video.headers.bits import BitsError
from embedonce.pipeline.video.headers.h264_slices import is_intra
from embedonce.pipeline.video.headers.inspectors import INSPECTORS, KEEPS_ORDER
from embedonce.pipeline.video.known_stream import KnownStream
from embedonce.pipeline.video.missing_data import (
    Losses,
    LossFinder,
    Pauses,
    find_losses,
    plausible_durations,
    read_container_evidence,
)
from embedonce.pipeline.video.packets import Needs, PacketFacts, PacketIndex
from embedonce.pipeline.video.times import (
    MAX_STRAY_BY_HEADERS,
    RawTimes,
    ShownTimes,
    are_in_decoding_order,
    resolve_times,
)

FLAGS = (
    *("is_key", "is_hidden", "is_start", "droppable", "in_order", "is_restart"),  # as in PacketIndex
    *("is_incomplete", "follows_gap", "is_encrypted", "has_pts", "has_dts", "is_half"),
)
NUM_INDEX_FLAGS = 6
NUMBERS = ("pts", "dts", "order", "position", "duration")
CHANGES = {"new_extradata", "param_change"}  # packet side data that changes parameters
MAX_FRAMES = 24 * 3600 * 120


def read_index(
    container, stream, visit=lambda packet: None, stops_at_fallback: bool = False
) -> Generator[None, None, PacketIndex]:
    """Yield None as a heartbeat; return the PacketIndex. visit: called with each packet.

    stops_at_fallback: stop reading once the video is known to need a full decode.
    """
    builder, clock = _IndexBuilder(stream), HeartbeatClock()
    errors: list[str] = []
    builder.collect(messages_while_opening(container), None)
    with capture_log() as messages:
        for packet in packets_of(container, stream, errors):
            builder.collect(messages, builder.count)
            builder.add(packet)
            visit(packet)
            if stops_at_fallback and builder.fallback_reason is not None:
                break
            if clock.is_due():
                yield None
    return builder.index(next(iter(errors), None))


class _IndexBuilder:
    """Collects what is known about each packet, in a few bytes each."""

    def __init__(self, stream):
        self._stream = stream
        self._codec, self._extradata = stream.codec_context.name, bytes(stream.codec_context.extradata or b"")
        self._known = KnownStream.of(stream)  # before anything is decoded
        self._numbers = array("q")  # NUMBERS of each packet in turn
        self._flags = bytearray()  # FLAGS of each packet in turn
        self._has_orientations = False
        self._skipped_data: list[tuple[int | None, int | None]] = []  # as for LossFinder.add_skipped_data
        self._needs, self._need_ends = array("i"), array("i")
        self._knows_needs = True
        self.count, self.fallback_reason = 0, None
        self.last_shown, self.last_duration = None, 0
        context = stream.codec_context
        self._may_reorder = context.codec.reorder and context.name not in KEEPS_ORDER
        self._inspector = self._make_inspector(stream.codec_context)

    def _make_inspector(self, context):
        kind = INSPECTORS.get(context.name)
        if kind is None:
            self.fallback_reason = f"the frame dependencies of {context.name} are unknown"
            return None
        try:
            return kind(self._extradata)
        except (BitsError, IndexError) as error:
            self.fallback_reason = str(error) if isinstance(error, BitsError) else "its headers end too early"
            return None

    def collect(self, messages: list, arrived: int | None) -> None:
        """What FFmpeg said while it read this packet, or None, some ahead."""
        for level, name, text in messages:
            if name == self._stream.container.format.name and is_data_loss(level, text):
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
        if pts is not None and not is_hidden and (self.last_shown is None or pts >= self.last_shown):
            self.last_shown, self.last_duration = pts, duration

    def _lengthen(self, end: int) -> None:
        """Extend the duration of the previous frame, whose second field was the last packet, to this time."""
        at = (self.count - 1) * len(NUMBERS)
        begin, has_pts = self._numbers[at], self._flags[(self.count - 1) * len(FLAGS) + FLAGS.index("has_pts")]
        if has_pts and end > begin:
            self._numbers[at + NUMBERS.index("duration")] = end - begin
            if begin == self.last_shown:
                self.last_duration = end - begin

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
                self.fallback_reason = str(error) if isinstance(error, BitsError) else "its headers end too early"
        return PacketFacts(False, False)

    def index(self, error: str | None) -> PacketIndex:
        if self.fallback_reason is None and getattr(self._inspector, "is_half", False):
            self.fallback_reason = "it ends with a single field"
        table = np.array(self._numbers, np.int64).reshape(-1, len(NUMBERS))
        numbers = dict(zip(NUMBERS, table.T.copy(), strict=True))
        flags = np.array(self._flags, bool).reshape(-1, len(FLAGS))
        columns = dict(zip(FLAGS, flags.T.copy(), strict=True))
        raw = RawTimes(numbers["pts"], columns["has_pts"], numbers["dts"], columns["has_dts"])
        finder = LossFinder.of(numbers["position"], columns["is_start"])
        look_at_pauses = self._find_losses(finder, columns)
        shown = np.flatnonzero(~columns["is_hidden"])
        sequence = shown[np.argsort(numbers["order"][shown], kind="stable")]
        pts, times = self._resolved(raw, sequence, finder.result().is_any)
        is_superseded = np.zeros(len(raw.pts), bool)
        if times is not None:
            is_superseded[sequence] = times.is_superseded
        finder.add_encrypted_packets(columns["is_encrypted"])

        def find_holes(at: np.ndarray, in_time: np.ndarray) -> tuple[Losses, np.ndarray]:
            frames = (at, in_time, plausible_durations(at, numbers["duration"][in_time]))
            return find_losses(finder, look_at_pauses, frames)

        losses, holes = finder.result(), None
        if pts is not None:
            in_time = shown[np.argsort(pts[shown], kind="stable")]
            losses, holes = find_holes(pts[in_time], in_time)
        columns["is_hidden"] |= is_superseded
        return PacketIndex(
            pts=pts,
            **{name: columns[name] for name in FLAGS[:NUM_INDEX_FLAGS]},
            fallback_reason=self._fallback_reason(pts, times, losses),
            is_ordered=times is not None,
            last_duration=self.last_duration,
            error=error,
            is_superseded=is_superseded,
            losses=losses,
            holes=holes,
            find_holes=find_holes,
            raw=raw,
            notes=() if times is None else times.notes,
            num_encrypted=int(columns["is_encrypted"].sum()),
            header_order=sequence if self._is_countable(raw, shown, losses) else None,
            needs=Needs(self._need_ends, self._needs) if self._knows_needs else None,
            is_half=columns["is_half"],
            has_orientations=self._has_orientations or getattr(self._inspector, "has_orientations", False),
            stream=self._known,
            positions=numbers["position"],
        )

    def _is_countable(self, raw: RawTimes, shown: np.ndarray, losses: Losses) -> bool:
        """Whether headers determine the output order where timestamps do not: they are missing, or in decoding order
        (AVI).
        """
        if self.fallback_reason is not None or losses.is_any:
            return False
        pts = raw.pts[shown]
        is_timed = raw.has_pts[shown].all() and len(np.unique(pts)) == len(pts)
        return not is_timed or bool((np.diff(pts) > 0).all())

    def _resolved(
        self, raw: RawTimes, sequence: np.ndarray, is_damaged: bool
    ) -> tuple[np.ndarray | None, ShownTimes | None]:
        """(pts of all packets if they can be used, times in the order of output if that is known and goes with them).

        Where data is missing, what headers say of the order cannot be trusted, nor anything be derived from it.
        """
        times = None
        if self.fallback_reason is None or not self._may_reorder:
            times = resolve_times(raw, sequence, MAX_STRAY_BY_HEADERS)
        if times is not None and times.num_stray:
            times = None if is_damaged or are_in_decoding_order(raw, np.sort(sequence)) else times
        if times is None:
            is_plain = raw.has_pts.all() and len(np.unique(raw.pts[sequence])) == len(sequence)
            return raw.pts if is_plain else None, None
        pts = raw.pts.copy()
        pts[sequence] = times.pts
        return pts, times

    def _find_losses(self, finder: LossFinder, columns: dict) -> Callable[[Pauses], None]:
        for position, arrived in self._skipped_data:
            finder.add_skipped_data(position, arrived)
        container = self._stream.container
        look_at_pauses = read_container_evidence(finder, container.format.name, location_of(container), self._stream)
        is_corrupt = columns["is_incomplete"]
        if container.format.name == "mpegts":
            # The counters tell more exactly: FFmpeg's parsers give the mark to the frame before the one that has it.
            is_counted = finder.result().is_any
            is_corrupt = is_corrupt & False if is_counted else is_corrupt | np.append(False, is_corrupt[:-1])
        finder.add_marked_packets(is_corrupt)
        finder.add_frame_number_gaps(columns["follows_gap"])
        return look_at_pauses

    def _fallback_reason(self, pts: np.ndarray | None, times: ShownTimes | None, losses: Losses) -> str | None:
        """Why the video must be decoded completely, or None."""
        if self.fallback_reason is None and times is not None:
            return "data is missing from it" if losses.is_any else getattr(self._inspector, "fallback_reason", None)
        if pts is None:
            return "its timestamps do not identify its frames"
        return self.fallback_reason or "its timestamps do not match the output order of its frames"
