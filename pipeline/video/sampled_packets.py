"""Compare packets that a header lists with the packets themselves, at several places of a file."""

from collections.abc import Generator
from dataclasses import dataclass
from itertools import islice

import av
import numpy as np

from embedonce.pipeline.video.container import HeartbeatClock, packets_of
from embedonce.pipeline.video.ffmpeg_log import capture_log, is_data_loss
from embedonce.pipeline.video.packet_collector import CHANGES

NUM_PLACES = 8  # the beginning, the end, and evenly between them
PLACE_PACKETS = 2
REFUSED_SIDES = {*CHANGES, "encryption_info", "display_matrix"}  # packet side data with consequences for the index


class MismatchError(Exception):
    """The packets differ from what the header lists, or cannot be compared. The message says how."""


@dataclass(frozen=True)
class ListedPackets:
    """n packets in decoding order, all of them key frames that are displayed in this order.

    dts: (n,) int64 ticks, the display times as well. is_hidden: (n,) bool, by an edit list. positions, sizes: (n,)
    int64 bytes.
    """

    dts: np.ndarray
    is_hidden: np.ndarray
    positions: np.ndarray
    sizes: np.ndarray

    def at(self, n: int) -> tuple:
        """What packet n must be: pts, dts, whether it is hidden, position, size."""
        dts = int(self.dts[n])
        return dts, dts, bool(self.is_hidden[n]), int(self.positions[n]), int(self.sizes[n])


def places_to_check(count: int) -> list[slice]:
    """The packets to compare, of this many: few at each place, increasing, without overlap."""
    firsts = np.linspace(0, max(count - PLACE_PACKETS, 0), NUM_PLACES).round().astype(np.int64)
    starts = firsts[np.append(True, np.diff(firsts) >= PLACE_PACKETS)].tolist()
    stops = [*(first + PLACE_PACKETS for first in starts[:-1]), count]
    return [slice(first, stop) for first, stop in zip(starts, stops, strict=True)]


def check_packets(container, stream, listed: ListedPackets, places: list[slice], visit) -> Generator[None, None, int]:
    """Yield None as a heartbeat; return for how many ticks the last packet says to be displayed, 0 if it does not.

    visit: called with the packets at the beginning. MismatchError if any packet is not as listed, or if there are more
    after the last one. FFmpeg's errors are not converted. Packets of other streams are not read.
    """
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    clock = HeartbeatClock()
    duration = 0
    with capture_log() as messages:
        for place in places:
            for n, packet in enumerate(_packets(container, stream, listed, place), place.start):
                _compare(listed, n, packet)
                if place.start == 0:
                    visit(packet)
                duration = packet.duration or 0
                if clock.is_due():
                    yield None
            if any(name == container.format.name and is_data_loss(level, text) for level, name, text in messages):
                raise MismatchError("the demuxer skipped data")
            messages.clear()
    return duration


def _packets(container, stream, listed: ListedPackets, place: slice) -> list[av.Packet]:
    """The packets at this place; up to the end of the file if the last ones listed are asked for."""
    count = place.stop - place.start
    if place.start:
        try:
            container.seek(int(listed.dts[place.start]), stream=stream)
        except av.error.FFmpegError as error:
            raise MismatchError(f"packet {place.start} cannot be reached") from error
    errors: list[str] = []
    is_last = place.stop == len(listed.dts)
    found = list(islice(packets_of(container, stream, errors), count + is_last))  # one more than there may be
    if len(found) != count or errors:
        raise MismatchError(f"there are {len(found)} packets where its header lists {count}")
    return found


def _compare(listed: ListedPackets, n: int, packet: av.Packet) -> None:
    found = (packet.pts, packet.dts, packet.is_discard, packet.pos, packet.size)
    if found != listed.at(n):
        raise MismatchError(f"packet {n} is {found}, not {listed.at(n)} as its header says")
    if packet.is_corrupt or not packet.is_keyframe:
        raise MismatchError(f"packet {n} is corrupt, or no key frame")
    if not REFUSED_SIDES.isdisjoint(side.data_type for side in packet.iter_sidedata()):
        raise MismatchError(f"packet {n} is encrypted, or changes parameters")
