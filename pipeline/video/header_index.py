"""Index a video's packets by the header of its MP4 or QuickTime file, without reading them.

Only for codecs of which the scan looks into no packet, since each frame stands for itself (headers/intra.py): then
FFmpeg's own list of packets has everything that reading them would find. Of other codecs, packets show what no header
does: frames that are missing or hidden, their order, their dependencies. FFmpeg's list has decoding times; these are
the display times too where a header states no others, which packets read at several places confirm.
"""

from collections.abc import Generator

import numpy as np

from embedonce.pipeline.video.container import location_of, messages_while_opening
from embedonce.pipeline.video.ffmpeg_log import is_data_loss
from embedonce.pipeline.video.headers.inspectors import INTRA
from embedonce.pipeline.video.headers.mp4_boxes import Mp4Error, find_data
from embedonce.pipeline.video.known_stream import MOV, KnownStream
from embedonce.pipeline.video.missing_data import Losses
from embedonce.pipeline.video.packet_collector import MAX_FRAMES
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.sampled_packets import ListedPackets, check_packets, places_to_check
from embedonce.pipeline.video.times import RawTimes

MIN_SAVING = 4.0  # the file must be this many times as large as what is read of it, otherwise all of it is read
PROBED_BYTES = 5_000_000  # what FFmpeg may read to open a file


def index_by_header(container, stream, visit) -> Generator[None, None, PacketIndex | None]:
    """Yield None as a heartbeat; return the index that read_index() would, or None if that must be called instead.

    container: newly opened. visit: called with the first packets. MismatchError if packets differ from the header, or
    once any was read and something is uncertain: the container must then be opened again. OSError if the file cannot
    be read; FFmpeg's errors are not converted.
    """
    known = KnownStream.of(stream)
    if container.format.name != MOV or stream.codec_context.name not in INTRA or _has_complaints(container):
        return None
    source = location_of(container)
    num_bytes = source.stat().st_size
    try:
        with source.open("rb") as file:
            start, end = find_data(file, num_bytes)
    except Mp4Error:
        return None
    for other in container.streams:
        if other.index != stream.index and not _lie_within(_entries(other), start, end):
            return None
        yield None
    entries = _entries(stream)
    if not _lie_within(entries, start, end) or not _identify_frames(entries):
        return None
    dts, positions, sizes, _, is_hidden = entries.T
    listed = ListedPackets(dts, is_hidden.astype(bool), positions, sizes)
    places = places_to_check(len(dts))
    if (PROBED_BYTES + sum(int(sizes[place].sum()) for place in places)) * MIN_SAVING > num_bytes:
        return None
    last_duration = yield from check_packets(container, stream, listed, places, visit)
    return _index(listed, last_duration, known)


def _has_complaints(container) -> bool:
    messages = messages_while_opening(container)
    return any(name == container.format.name and is_data_loss(level, text) for level, name, text in messages)


def _entries(stream) -> np.ndarray:
    """(n, 5) int64 per packet: dts, position, size, whether it is a key frame, whether it is hidden."""
    entries = getattr(stream, "index_entries", ())  # which PyAV does not have in older versions
    values = (value for e in entries for value in (e.timestamp, e.pos, e.size, e.is_keyframe, e.is_discard))
    return np.fromiter(values, np.int64).reshape(-1, 5)


def _lie_within(entries: np.ndarray, start: int, end: int) -> bool:
    """Whether these packets have contents, wholly between these positions: then the demuxer can read all of them."""
    positions, sizes = entries[:, 1], entries[:, 2]
    return bool((sizes > 0).all() and (positions >= start).all() and (positions + sizes <= end).all())


def _identify_frames(entries: np.ndarray) -> bool:
    """Whether there are packets, all of them key frames, with increasing times, the last of them displayed."""
    if not 0 < len(entries) <= MAX_FRAMES:
        return False
    return bool((np.diff(entries[:, 0]) > 0).all() and entries[:, 3].all() and not entries[-1, 4])


def _index(listed: ListedPackets, last_duration: int, known: KnownStream | None) -> PacketIndex:
    """What read_index() makes of such packets."""
    pts = listed.dts
    nothing, everything = np.zeros(len(pts), bool), np.ones(len(pts), bool)
    return PacketIndex(
        pts=pts.copy(),
        is_key=everything,
        is_hidden=listed.is_hidden,
        is_start=everything,
        droppable=nothing,
        in_order=everything,
        fallback_reason=None,
        is_ordered=True,
        last_duration=last_duration,
        error=None,
        is_superseded=nothing,
        is_restart=everything,
        losses=Losses(nothing, nothing),
        holes=np.zeros((0, 2), np.int64),
        raw=RawTimes(pts, everything, pts, everything),
        header_order=np.flatnonzero(~listed.is_hidden),
        is_half=nothing,
        has_orientations=False,
        stream=known,
        positions=listed.positions,
    )
