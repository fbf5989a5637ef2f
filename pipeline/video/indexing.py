"""Index a video's packets: each packet is read once, none is decoded. What packets state is collected, then concluded
from: which times their frames have, in which order they are displayed, and what is missing between them.
"""

from collections.abc import Callable, Generator

import numpy as np

from embedonce.pipeline.video.container import HeartbeatClock, location_of, messages_while_opening, packets_of
from embedonce.pipeline.video.ffmpeg_log import capture_log
from embedonce.pipeline.video.headers.inspectors import KEEPS_ORDER
from embedonce.pipeline.video.known_stream import KnownStream
from embedonce.pipeline.video.missing_data import (
    Losses,
    LossFinder,
    Pauses,
    find_losses,
    plausible_durations,
    read_container_evidence,
)
from embedonce.pipeline.video.packet_collector import FLAGS, NUM_INDEX_FLAGS, PacketCollector, PacketTable
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.times import (
    MAX_STRAY_BY_HEADERS,
    RawTimes,
    ShownTimes,
    are_in_decoding_order,
    resolve_times,
)


def read_index(
    container, stream, visit=lambda packet: None, stops_at_fallback: bool = False
) -> Generator[None, None, PacketIndex]:
    """Yield None as a heartbeat; return the PacketIndex. visit: called with each packet.

    stops_at_fallback: stop reading once the video is known to need a full decode.
    """
    known = KnownStream.of(stream)  # before anything is decoded
    collector, clock = PacketCollector(stream), HeartbeatClock()
    errors: list[str] = []
    collector.collect(messages_while_opening(container), None)
    with capture_log() as messages:
        for packet in packets_of(container, stream, errors):
            collector.collect(messages, collector.count)
            collector.add(packet)
            visit(packet)
            if stops_at_fallback and collector.fallback_reason is not None:
                break
            if clock.is_due():
                yield None
    return _index(collector.table(), stream, known, next(iter(errors), None))


def _index(table: PacketTable, stream, known: KnownStream | None, error: str | None) -> PacketIndex:
    """What follows from the packets of this stream, and from the file itself. error: as in PacketIndex."""
    numbers, flags = table.numbers, table.flags
    raw = RawTimes(numbers["pts"], flags["has_pts"], numbers["dts"], flags["has_dts"])
    finder = LossFinder.of(numbers["position"], flags["is_start"])
    look_at_pauses = _add_evidence(finder, table, stream)
    shown = np.flatnonzero(~flags["is_hidden"])
    sequence = shown[np.argsort(numbers["order"][shown], kind="stable")]
    may_reorder = stream.codec_context.codec.reorder and stream.codec_context.name not in KEEPS_ORDER
    knows_order = table.unread_reason is None or not may_reorder
    pts, times = _resolved(raw, sequence, knows_order, finder.result().is_any)
    is_superseded = np.zeros(len(raw.pts), bool)
    if times is not None:
        is_superseded[sequence] = times.is_superseded
    finder.add_encrypted_packets(flags["is_encrypted"])

    def find_holes(at: np.ndarray, in_time: np.ndarray) -> tuple[Losses, np.ndarray]:
        frames = (at, in_time, plausible_durations(at, numbers["duration"][in_time]))
        return find_losses(finder, look_at_pauses, frames)

    losses, holes = finder.result(), None
    if pts is not None:
        in_time = shown[np.argsort(pts[shown], kind="stable")]
        losses, holes = find_holes(pts[in_time], in_time)
    columns = {name: flags[name] for name in FLAGS[:NUM_INDEX_FLAGS]}
    return PacketIndex(
        pts=pts,
        **columns | {"is_hidden": flags["is_hidden"] | is_superseded},
        fallback_reason=_fallback_reason(table, pts, times, losses),
        is_ordered=times is not None,
        last_duration=table.last_duration,
        error=error,
        is_superseded=is_superseded,
        losses=losses,
        holes=holes,
        find_holes=find_holes,
        raw=raw,
        notes=() if times is None else times.notes,
        num_encrypted=int(flags["is_encrypted"].sum()),
        header_order=sequence if _is_countable(table, raw, shown, losses) else None,
        needs=table.needs,
        is_half=flags["is_half"],
        has_orientations=table.has_orientations,
        stream=known,
        positions=numbers["position"],
    )


def _add_evidence(finder: LossFinder, table: PacketTable, stream) -> Callable[[Pauses], None]:
    """Tell the finder what packets and the file show of missing data. Returns as read_container_evidence()."""
    for position, arrived in table.skipped_data:
        finder.add_skipped_data(position, arrived)
    container = stream.container
    look_at_pauses = read_container_evidence(finder, container.format.name, location_of(container), stream)
    is_corrupt = table.flags["is_incomplete"]
    if container.format.name == "mpegts":
        # The counters tell more exactly: FFmpeg's parsers give the mark to the frame before the one that has it.
        is_counted = finder.result().is_any
        is_corrupt = is_corrupt & False if is_counted else is_corrupt | np.append(False, is_corrupt[:-1])
    finder.add_marked_packets(is_corrupt)
    finder.add_frame_number_gaps(table.flags["follows_gap"])
    return look_at_pauses


def _resolved(
    raw: RawTimes, sequence: np.ndarray, knows_order: bool, is_damaged: bool
) -> tuple[np.ndarray | None, ShownTimes | None]:
    """(pts of all packets if they can be used, times in the order of output if that is known and goes with them).

    sequence: the packets in the order of output, if knows_order. Where data is missing, what headers say of the order
    cannot be trusted, nor anything be derived from it.
    """
    times = resolve_times(raw, sequence, MAX_STRAY_BY_HEADERS) if knows_order else None
    if times is not None and times.num_stray:
        times = None if is_damaged or are_in_decoding_order(raw, np.sort(sequence)) else times
    if times is None:
        is_plain = raw.has_pts.all() and len(np.unique(raw.pts[sequence])) == len(sequence)
        return raw.pts if is_plain else None, None
    pts = raw.pts.copy()
    pts[sequence] = times.pts
    return pts, times


def _is_countable(table: PacketTable, raw: RawTimes, shown: np.ndarray, losses: Losses) -> bool:
    """Whether headers determine the output order where timestamps do not: they are missing, or in decoding order
    (AVI).
    """
    if table.unread_reason is not None or losses.is_any:
        return False
    pts = raw.pts[shown]
    is_timed = raw.has_pts[shown].all() and len(np.unique(pts)) == len(pts)
    return not is_timed or bool((np.diff(pts) > 0).all())


def _fallback_reason(
    table: PacketTable, pts: np.ndarray | None, times: ShownTimes | None, losses: Losses
) -> str | None:
    """Why the video must be decoded completely, or None."""
    if table.unread_reason is None and times is not None:
        return "data is missing from it" if losses.is_any else table.unskippable_reason
    if pts is None:
        return "its timestamps do not identify its frames"
    return table.unread_reason or "its timestamps do not match the output order of its frames"
