"""Begin to read a video in the middle, if the packets from there on are those that reading from the start gives."""

import itertools
from collections.abc import Generator, Iterator

import av

from embedonce.pipeline.video.container import HeartbeatClock, packets_of
from embedonce.pipeline.video.entry_points import Entry
from embedonce.pipeline.video.ffmpeg_log import capture_log, is_data_loss
from embedonce.pipeline.video.known_stream import MATROSKA


def packets_from(container, stream, entry: Entry) -> Generator[None, None, Iterator[av.Packet] | None]:
    """Yield None as a heartbeat; return the packets of a newly opened container from this entry on.

    None if the packet with its time is not found where the index says; the container is then of no further use. The
    demuxer may find an earlier packet; those before the entry are read and left out.
    """
    clock = HeartbeatClock()
    with capture_log() as messages:
        try:
            container.seek(entry.pts if container.format.name == MATROSKA else entry.dts, stream=stream)
        except av.error.FFmpegError:
            return None
        packets = packets_of(container, stream)
        for packet in packets:
            if any(name == container.format.name and is_data_loss(level, text) for level, name, text in messages):
                return None
            if (packet.pts, packet.pos) == (entry.pts, entry.position):
                return itertools.chain([packet], packets)
            if packet.pos is None or packet.pos >= entry.position:
                return None
            if clock.is_due():
                yield None
    return None
