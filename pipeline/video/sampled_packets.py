"""Compare packets that a header lists with the packets themselves, at several places of a file.

Each window of packets begins at a key frame: the first ones of the file, some in between, and all from the last one on.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import av
import numpy as np

from embedonce.pipeline.video.container import HeartbeatClock, packets_of
from embedonce.pipeline.video.ffmpeg_log import capture_log, is_data_loss
from embedonce.pipeline.video.headers.bits import BitsError
from embedonce.pipeline.video.headers.inspectors import INSPECTORS
from embedonce.pipeline.video.packets import CHANGES

NUM_WINDOWS = 16
WINDOW_PACKETS, WINDOW_BYTES = 64, 1_000_000  # of each but the last window, whichever is less, after its key frame
MAX_PASSED = 512  # packets from where FFmpeg lands to where it was sent
REFUSED_SIDES = {*CHANGES, "encryption_info", "display_matrix"}  # packet side data with consequences for later frames


class MismatchError(Exception):
    """The packets differ from what the header lists, or cannot be compared. The message says how."""


@dataclass(frozen=True)
class ListedPackets:
    """What a header states about n packets in decoding order.

    pts, dts: (n,) int64 ticks. is_key, is_hidden: (n,) bool, the container's flags. positions, sizes: (n,) int64 bytes.
    """

    pts: np.ndarray
    dts: np.ndarray
    is_key: np.ndarray
    is_hidden: np.ndarray
    positions: np.ndarray
    sizes: np.ndarray

    def at(self, n: int) -> tuple[int, int, bool, bool, int, int]:
        """What packet n must be."""
        columns = (self.pts, self.dts, self.is_key, self.is_hidden, self.positions, self.sizes)
        return tuple(column[n].item() for column in columns)  # type: ignore[return-value]


@dataclass
class Checked:
    """What the packets that were read add. durations: in ticks, by packet number."""

    durations: dict[int, int]
    has_orientations: bool = False


def plan_windows(listed: ListedPackets, max_bytes: int | None) -> list[tuple[int, int]]:
    """[first, stop) packet numbers of the windows, increasing. MismatchError if they are more than max_bytes."""
    keys = np.flatnonzero(listed.is_key)
    if not len(keys) or keys[0]:
        raise MismatchError("it does not begin with a key frame")
    chosen = np.unique(keys[np.linspace(0, len(keys) - 1, NUM_WINDOWS).round().astype(np.int64)])
    ends = np.cumsum(listed.sizes)
    windows = []
    for first, following in zip(chosen.tolist(), [*chosen[1:].tolist(), None], strict=True):
        stop = int(np.searchsorted(ends, ends[first] + WINDOW_BYTES, "right"))
        stop = min(max(stop, first + 2), first + WINDOW_PACKETS)
        windows.append((first, len(ends) if following is None else min(stop, following + 1)))
    num_bytes = sum(int(listed.sizes[first:stop].sum()) for first, stop in windows)
    if max_bytes is not None and num_bytes > max_bytes:
        raise MismatchError("comparing its packets would save too little")
    return windows


def check_packets(
    container, stream, listed: ListedPackets, windows: list[tuple[int, int]], visit
) -> Generator[None, None, Checked]:
    """Yield None as a heartbeat; return what the packets add.

    visit: called with the packets of the first window. MismatchError if any packet is not as listed. FFmpeg's errors
    are not converted. Packets of other streams are not read.
    """
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    checked, clock = Checked({}), HeartbeatClock()
    with capture_log() as messages:
        for first, stop in windows:
            window = _Window(stream, listed, first)
            for n, packet in _packets(container, stream, listed, (first, stop)):
                window.add(n, packet)
                if first == 0:
                    visit(packet)
                checked.durations[n] = packet.duration or 0
                if clock.is_due():
                    yield None
            window.finish(stop)
            checked.has_orientations |= window.has_orientations
            if any(name == container.format.name and is_data_loss(level, text) for level, name, text in messages):
                raise MismatchError("the demuxer skipped data")
            messages.clear()
    return checked


def _packets(container, stream, listed: ListedPackets, span: tuple[int, int]) -> Iterator[tuple[int, av.Packet]]:
    """(number, packet) from first to before stop, or to the end of the file if all are asked for."""
    first, stop = span
    if first:
        container.seek(int(listed.pts[first]), stream=stream)
    n, passed = -1, 0
    for packet in packets_of(container, stream):
        n = _number(listed, packet.pos) if n < 0 else n + 1
        if n < first and passed < MAX_PASSED:
            passed += 1
            continue
        yield n, packet
        if n + 1 == stop < len(listed.pts):
            return


def _number(listed: ListedPackets, position: int | None) -> int:
    found = np.flatnonzero(listed.positions == (-1 if position is None else position))
    if len(found) != 1:
        raise MismatchError("a packet's position is not in its header")
    return int(found[0])


class _Window:
    """Compares the packets of one window with what is listed, and their contents with what a header can know.

    That is: exactly the listed key frames are entry points, every packet has one frame, frames leave the decoder in the
    order of their times, and none is missing.
    """

    def __init__(self, stream, listed: ListedPackets, first: int):
        self._listed, self._first, self._next = listed, first, first
        context = stream.codec_context
        try:
            self._inspector = INSPECTORS[context.name](bytes(context.extradata or b""))
        except (BitsError, IndexError) as error:
            raise MismatchError(str(error)) from error
        self._orders: list[int] = []

    @property
    def has_orientations(self) -> bool:
        return getattr(self._inspector, "has_orientations", False)

    def add(self, n: int, packet: av.Packet) -> None:
        """Compare the next packet. MismatchError if it differs."""
        if n != self._next or n >= len(self._listed.pts):
            raise MismatchError("there are other packets than its header lists")
        found = (packet.pts, packet.dts, packet.is_keyframe, packet.is_discard, packet.pos, packet.size)
        if found != self._listed.at(n):
            raise MismatchError(f"packet {n} is {found}, not {self._listed.at(n)} as its header says")
        if packet.is_corrupt or not REFUSED_SIDES.isdisjoint(side.data_type for side in packet.iter_sidedata()):
            raise MismatchError(f"packet {n} is corrupt, encrypted, or changes parameters")
        try:
            facts = self._inspector.look(bytes(packet))
        except (BitsError, IndexError) as error:
            raise MismatchError(str(error)) from error
        # Without what comes before this window, its leading frames look as if they were not shown.
        is_leading = self._first > 0 and packet.pts < self._listed.pts[self._first]
        if facts.is_start != packet.is_keyframe or facts.follows_gap or not (facts.is_shown or is_leading):
            raise MismatchError(f"packet {n} is not what its header says")
        self._orders.append(n if facts.order is None else facts.order)
        self._next = n + 1

    def finish(self, stop: int) -> None:
        """MismatchError if packets are lacking up to `stop`, or times are not in the order of the frames."""
        if self._next != stop:
            raise MismatchError("there are fewer packets than its header lists")
        shown = np.flatnonzero(~self._listed.is_hidden[self._first : stop])
        pts, orders = self._listed.pts[self._first : stop][shown], np.array(self._orders)[shown]
        if (np.diff(pts[np.argsort(orders, kind="stable")]) <= 0).any():
            raise MismatchError("its times are not in the order of its frames")
        if getattr(self._inspector, "fallback_reason", None) or getattr(self._inspector, "is_half", False):
            raise MismatchError("its fields are in separate packets")
