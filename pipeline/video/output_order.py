"""Display times if timestamps do not determine them: from the output order, by headers or by a full decode."""

import itertools
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from embedonce.pipeline.video.container import HeartbeatClock, VideoError, check_size, open_video, packets_of
from embedonce.pipeline.video.ffmpeg_log import capture_log, is_damage
from embedonce.pipeline.video.location import VideoLocation
from embedonce.pipeline.video.missing_data import Losses
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.times import RawTimes, are_in_decoding_order, resolve_times

IN_DECODING_ORDER = "its timestamps are in decoding order: they are assigned to its frames in turn"


@dataclass(frozen=True)
class FoundTimes:
    """pts, by_order, holes: as in Timeline. notes: what was done. losses: as in PacketIndex."""

    pts: np.ndarray
    notes: tuple[str, ...]
    by_order: bool
    losses: Losses
    holes: np.ndarray | None


def find_times(
    path: VideoLocation, decoder: str, index: PacketIndex, step: Fraction
) -> Generator[None, None, FoundTimes]:
    """Yield None as a heartbeat; return the FoundTimes. step: ticks between frames according to the headers.

    The output order comes from the headers if they determine it, otherwise from decoding the whole video. Packets' pts
    are kept if frames come out in their order, also for frames that do not come out because of errors. If frames come
    out in another order, or some pts are missing or repeated, frames are identified by output order and their times are
    resolved along it. Only if that is impossible are frames counted in even steps.
    """
    if index.header_order is not None:
        numbers, is_damaged = index.header_order.tolist(), False
    else:
        numbers, is_damaged = yield from _output_order(path, decoder)
    if not numbers:
        raise VideoError("none of its frames can be decoded")
    assert index.raw is not None and index.find_holes is not None
    raw, losses = _of_frames(index.raw, numbers), index.known_losses
    is_complete = bool(raw.has_pts.all())
    in_decoding_order = are_in_decoding_order(index.raw, np.flatnonzero(~index.is_hidden))
    are_known = index.pts is not None and is_complete
    if are_known and ((np.diff(raw.pts) > 0).all() or (is_damaged and not in_decoding_order)):
        return FoundTimes(*_by_pts(index.shown_pts, raw.pts, is_damaged), False, losses, index.holes)
    if is_complete and in_decoding_order:
        pts, notes = np.sort(raw.pts), [IN_DECODING_ORDER]
    elif (times := resolve_times(raw, np.arange(len(numbers)))) is not None:
        pts, notes = times.pts, [*times.notes]
    else:
        pts = np.arange(len(numbers), dtype=np.int64) * max(round(step), 1)
        return FoundTimes(pts, (_why_counted(raw),), True, losses, None)
    return FoundTimes(pts, tuple(notes), True, *index.find_holes(pts, _known(numbers, len(index.is_key))))


def _known(numbers: list[int | None], count: int) -> np.ndarray:
    """(m,) int64 packet numbers; a frame without one gets that of the previous frame."""
    known, last = [], 0
    for n in numbers:
        last = n if n is not None and 0 <= n < count else last
        known.append(last)
    return np.array(known, np.int64)


def _by_pts(announced: np.ndarray, found: np.ndarray, is_damaged: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """(pts of the frames, notes). announced: the packets' pts, increasing; found: those of the frames that came out."""
    num_missing = len(announced) - len(found)
    if is_damaged or not num_missing:
        return announced, ()
    return found, (f"{num_missing} of its packets produce no frame",)


def _of_frames(raw: RawTimes, numbers: list[int | None]) -> RawTimes:
    """The timestamps of the frames of these packets."""
    is_known = np.array([n is not None and 0 <= n < len(raw.pts) for n in numbers], bool)
    at = np.array([n if known else 0 for n, known in zip(numbers, is_known, strict=True)], np.int64)
    return RawTimes(raw.pts[at], raw.has_pts[at] & is_known, raw.dts[at], raw.has_dts[at] & is_known)


def _why_counted(raw: RawTimes) -> str:
    num_timed = int(raw.has_pts.sum())
    if not num_timed:
        why = "its frames have no timestamps"
    elif len(np.unique(raw.pts[raw.has_pts])) == 1:
        why = "all its frames have the same timestamp"
    elif num_timed == len(raw.pts):
        why = "its timestamps do not increase with its frames"
    else:
        why = f"only {num_timed} of its {len(raw.pts)} frames have a timestamp"
    return f"{why}: its frames are counted in even steps"


def _output_order(path: VideoLocation, decoder: str) -> Generator[None, None, tuple[list[int | None], bool]]:
    """(packet number of each frame in output order, whether the decoder reported errors)."""
    numbers, is_damaged, clock = [], False, HeartbeatClock()
    with open_video(path, decoder) as (container, stream), capture_log() as messages:
        for n, packet in enumerate(itertools.chain(packets_of(container, stream), (None,))):
            messages.clear()
            if packet is not None:
                packet.pts = n
            try:
                for frame in stream.codec_context.decode(packet):
                    check_size(frame.width, frame.height)
                    numbers.append(frame.pts)
                    is_damaged |= frame.is_corrupt
            except av.error.FFmpegError:
                is_damaged = True
            is_damaged |= any(is_damage(level, text) for level, _, text in messages)
            if clock.is_due():
                yield None
    return numbers, is_damaged
