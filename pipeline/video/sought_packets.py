"""Read only the packets that are decoded, of files in which each packet is found by its time."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from embedonce.pipeline.video.container import location_of, packets_of
from embedonce.pipeline.video.sampled_packets import MismatchError

REMOTE_GAP_BYTES = 4 << 20  # between packets: to read as much takes about as long as a request or two


def can_be_sought(stream, feed: np.ndarray, pts: list[int]) -> bool:
    """Whether the header lists the packets with feed[n] at these times, as key frames, at which seeking ends.

    False as well for remote files of which little would be left out: each place is a request of its own there.
    """
    entries = getattr(stream, "index_entries", ())  # which PyAV does not have in older versions
    if len(entries) != len(feed):
        return False
    wanted = [entries[n] for n in np.flatnonzero(feed).tolist()]
    if [entry.timestamp for entry in wanted] != pts or not all(entry.is_keyframe for entry in wanted):
        return False
    left_out = wanted[-1].pos - wanted[0].pos - sum(entry.size for entry in wanted)
    return isinstance(location_of(stream.container), Path) or left_out >= REMOTE_GAP_BYTES * len(wanted)


def sought_packets(container, stream, feed: np.ndarray, pts: list[int]) -> Iterator[av.Packet | None]:
    """Yield packet n where feed[n], otherwise None, which is not read; end after the last one.

    feed: (n,) bool. pts: the times of these packets in ticks, increasing. MismatchError if one is not found.
    """
    packets, following = packets_of(container, stream), 0
    for n, time in zip(np.flatnonzero(feed).tolist(), pts, strict=True):
        if n > following:
            yield from (None for _ in range(following, n))
            packets = _packets_from(container, stream, time)
        packet = next(packets, None)
        if packet is None or packet.pts != time:
            raise MismatchError("a packet is not where its header says")
        yield packet
        following = n + 1


def _packets_from(container, stream, time: int) -> Iterator[av.Packet]:
    try:
        container.seek(time, stream=stream)
    except av.error.FFmpegError as error:
        raise MismatchError("a packet cannot be reached") from error
    return packets_of(container, stream)
