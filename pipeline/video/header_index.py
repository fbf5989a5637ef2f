"""Index a video's packets by the header of its MP4 or QuickTime file, and by few of its packets.

FFmpeg's own list of a track's packets has positions, sizes, decoding times and key frame flags, but no display times;
the tables of the header have those. Both must agree on every packet, and packets read at several places with both.
What else the other packets could tell (data damaged or lost between those places, dependencies between frames) remains
unknown: this index shows when frames are displayed, not how to decode them.
"""

from collections.abc import Generator
from pathlib import Path

import numpy as np

from embedonce.pipeline.video.container import messages_while_opening
from embedonce.pipeline.video.ffmpeg_log import is_data_loss
from embedonce.pipeline.video.headers.mp4_boxes import Mp4Error
from embedonce.pipeline.video.headers.sample_tables import SampleTable, read_sample_table
from embedonce.pipeline.video.known_stream import MAX_DEPTH, MOV, reorder_depth_of
from embedonce.pipeline.video.missing_data import Losses
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.sampled_packets import (
    Checked,
    ListedPackets,
    MismatchError,
    check_packets,
    plan_windows,
)

CODECS = {"h264", "hevc", "vp9"}  # opened without probing; one packet holds one frame
MIN_SAVING = 4.0  # the file must be this many times as large as what is read of it, otherwise all of it is read


def index_by_header(
    container, stream, visit=lambda packet: None, min_saving: float = MIN_SAVING
) -> Generator[None, None, PacketIndex | None]:
    """Yield None as a heartbeat; return the PacketIndex, or None if all packets must be read.

    container: newly opened. visit: called with the packets at the beginning. min_saving: as MIN_SAVING; 0 for any.
    OSError if the file cannot be read; FFmpeg's errors are not converted. The index lacks raw times, and no frame may
    be left out of decoding by it.
    """
    if container.format.name != MOV or stream.codec_context.name not in CODECS:
        return None
    path = Path(container.name)
    num_bytes = path.stat().st_size
    try:
        with path.open("rb") as file:
            table = read_sample_table(file, num_bytes, stream.id)
        listed = _listed_packets(container, stream, table, num_bytes)
        windows = plan_windows(listed, int(num_bytes / min_saving) if min_saving else None)
        checked = yield from check_packets(container, stream, listed, windows, visit)
        return _index(listed, checked)
    except (Mp4Error, MismatchError):
        return None


def _listed_packets(container, stream, table: SampleTable, num_bytes: int) -> ListedPackets:
    """The packets by the demuxer's list, with display times. MismatchError if the header's tables differ from it."""
    messages = messages_while_opening(container)
    if any(name == container.format.name and is_data_loss(level, text) for level, name, text in messages):
        raise MismatchError("the demuxer skipped data")
    for other in container.streams:
        if other.index != stream.index and (_entries(other)[:, 1:3].sum(axis=1) > num_bytes).any():
            raise MismatchError("packets of another stream lie beyond the end of the file")
    dts, positions, sizes, is_key, is_hidden = _entries(stream).T
    if not len(dts):
        raise MismatchError("FFmpeg lists none of its packets")
    first = np.flatnonzero(table.positions == positions[0])
    if len(first) != 1:
        raise MismatchError("its packets are not at the positions that its header states")
    part = slice(int(first[0]), int(first[0]) + len(dts))  # an edit list may leave out packets at both ends
    shift = dts[0] - table.dts[part.start]
    listed = (dts - shift, positions, sizes, is_key.astype(bool))
    stated = (table.dts[part], table.positions[part], table.sizes[part], table.is_key[part])
    if not all(np.array_equal(a, b) for a, b in zip(listed, stated, strict=True)):
        raise MismatchError("FFmpeg lists other packets than its header")
    # FFmpeg subtracts the largest negative offset from decoding times, so that none is later than its display time.
    pts = dts + table.offsets[part] + max(0, -int(table.offsets.min()))
    return ListedPackets(pts, dts, listed[3], is_hidden.astype(bool), positions, sizes)


def _entries(stream) -> np.ndarray:
    """(n, 5) int64 per packet: dts, position, size, whether it is a key frame, whether it is hidden."""
    entries = getattr(stream, "index_entries", ())  # which PyAV does not have in older versions
    values = (value for e in entries for value in (e.timestamp, e.pos, e.size, e.is_keyframe, e.is_discard))
    return np.fromiter(values, np.int64).reshape(-1, 5)


def _index(listed: ListedPackets, checked: Checked) -> PacketIndex:
    """MismatchError if the times are not distinct, or the last frame's duration is unknown."""
    n, shown = len(listed.pts), np.flatnonzero(~listed.is_hidden)
    if not len(shown) or len(np.unique(listed.pts)) != n or reorder_depth_of(listed.pts) > MAX_DEPTH:
        raise MismatchError("its times do not identify its frames")
    last_duration = checked.durations.get(int(shown[listed.pts[shown].argmax()]), 0)
    if last_duration <= 0:
        raise MismatchError("the duration of its last frame is unknown")
    nothing = np.zeros(n, bool)
    return PacketIndex(
        pts=listed.pts,
        is_key=listed.is_key,
        is_hidden=listed.is_hidden,
        is_start=listed.is_key,
        droppable=nothing,
        in_order=nothing,
        fallback_reason=None,
        is_ordered=True,
        last_duration=last_duration,
        error=None,
        losses=Losses(nothing, nothing),
        holes=np.zeros((0, 2), np.int64),
        has_orientations=checked.has_orientations,
    )
