"""Scanning a video: its packets or its header are read, the first frame is decoded, and a Timeline comes out."""

import contextlib
import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from embedonce.pipeline.video.announced_length import (
    PARTIAL_SEC,
    RAW_FORMATS,
    Length,
    announced_length,
    frame_rate,
    some_track_continues,
)
from embedonce.pipeline.video.color import hdr_note
from embedonce.pipeline.video.container import VideoError, messages_while_opening, open_video
from embedonce.pipeline.video.failure_reasons import ENCRYPTED_FRAMES, why_no_frames
from embedonce.pipeline.video.ffmpeg_log import is_data_loss
from embedonce.pipeline.video.geometry import SQUARE, AspectReader, Orientations
from embedonce.pipeline.video.header_index import index_by_header
from embedonce.pipeline.video.indexing import read_index
from embedonce.pipeline.video.known_stream import MAX_DEPTH, reorder_depth_of
from embedonce.pipeline.video.location import VideoLocation
from embedonce.pipeline.video.missing_data import loss_notes
from embedonce.pipeline.video.output_order import FoundTimes, find_times
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.sampled_packets import MismatchError
from embedonce.pipeline.video.timeline import PARTIAL_NOTE, Timeline
from embedonce.pipeline.video.tracks import track_note

MAX_SECONDS = 48 * 3600.0


@dataclass(frozen=True)
class _Header:
    """What the container states about the stream."""

    codec: str
    length: Length | None
    sample_aspect: Fraction
    time_base: Fraction
    rate: Fraction


@dataclass(frozen=True)
class _Read:
    """What was read from an open container.

    pid: packet identifier in a transport stream. is_redescribed: as in _FirstFrame.
    """

    header: _Header
    notes: list[str]
    index: PacketIndex
    first: av.VideoFrame | None
    is_redescribed: bool
    pid: int | None


def read_timeline(path: VideoLocation, decoder: str = "software") -> Generator[None, None, Timeline]:
    """Yield None as a heartbeat; return the Timeline.

    VideoError if the video has no frame that can be decoded.
    """
    read = None
    if decoder == "software":
        read = yield from _read_unprobed(path)
    for by_header in (decoder == "software", False):
        if read is None:
            with open_video(path, decoder) as (container, stream), contextlib.suppress(MismatchError):
                read = yield from _read(container, stream, by_header=by_header)
    assert read is not None  # all packets were read
    header, notes, index, first, pid = read.header, [*read.notes], read.index, read.first, read.pid
    if not len(index.is_key):
        raise VideoError(why_no_frames(path, index.error, pid))
    if index.num_encrypted == len(index.is_key):
        raise VideoError(ENCRYPTED_FRAMES)
    if index.pts is not None and not len(index.shown_pts):
        raise VideoError("its edit list hides every frame")
    if first is None:
        raise VideoError("none of its frames can be decoded")
    if read.is_redescribed:  # FFmpeg merges the descriptions' pixel aspects: the frame's own is more reliable
        header = dataclasses.replace(header, sample_aspect=AspectReader()(first) or header.sample_aspect)
    notes += index.notes
    if index.pts is not None and index.is_ordered:
        found = FoundTimes(index.shown_pts, (), False, index.known_losses, index.holes)
    else:
        found = yield from find_times(path, decoder, index, 1 / (header.rate * header.time_base))
    timeline = _timeline(index, header, first, found, [*notes, *found.notes])
    length, lacking_sec = header.length, _lacking_sec(timeline, header.length)
    if length is None or lacking_sec <= PARTIAL_SEC:
        return timeline
    if length.is_of_all and (yield from some_track_continues(path, length)):
        return timeline
    partial = f"{PARTIAL_NOTE}it ends {lacking_sec:.1f} s before its header says"
    return dataclasses.replace(timeline, notes=(*timeline.notes, partial), is_partial=True)


def _read(container, stream, is_probed: bool = True, by_header: bool = False) -> Generator[None, None, _Read]:
    """Yield None as a heartbeat. If is_probed is false, stop at the first uncertainty.

    by_header: do not read all packets if the header tells what they would. MismatchError if it told otherwise.
    """
    header, notes = _read_header(container, stream), [*track_note(container, stream)]
    if container.format.name in RAW_FORMATS and not frame_rate(container, stream)[1]:
        notes.append(f"it has no frame rate: {header.rate} frames per second are assumed")
    pid = stream.id if container.format.name == "mpegts" else None
    peek = _FirstFrame(stream.codec_context, may_be_hidden=not is_probed)
    index = (yield from index_by_header(container, stream, peek)) if by_header else None
    if index is not None and peek.frame is None:
        raise MismatchError("none of its first frames can be decoded")
    if index is None:
        index = yield from read_index(container, stream, peek, stops_at_fallback=not is_probed)
    first = peek.frame or peek(None)
    return _Read(header, notes, index, first, peek.is_redescribed, pid)


def _read_unprobed(path: VideoLocation) -> Generator[None, None, _Read | None]:
    """The result of _read() for a file opened without probing; None if probing might have found more.

    It would not if headers determine everything, in order and complete, so that frames need not be counted.
    """
    with contextlib.suppress(VideoError), open_video(path, "software", is_probed=False) as (container, stream):
        messages = messages_while_opening(container)  # messages of decoders only say that they were not opened
        if any(is_data_loss(level, text) for level, name, text in messages if name == container.format.name):
            return None
        read = yield from _read(container, stream, is_probed=False)
        index, is_plain = read.index, not read.is_redescribed and read.first is not None
        if not is_plain or not index.is_flawless or (index.is_hidden[0] and index.has_orientations):
            return None
        depth = max(reorder_depth_of(index.known_pts), stream.codec_context.reorder_depth)
        if depth > MAX_DEPTH:
            return None
        assert index.stream is not None  # of a container that can be opened without probing
        index = dataclasses.replace(index, stream=dataclasses.replace(index.stream, reorder_depth=depth))
        return dataclasses.replace(
            read, header=_read_header(container, stream), index=index
        )  # after the first frame was decoded
    return None


def _lacking_sec(timeline: Timeline, length: Length | None) -> float:
    """Seconds by which a video is shorter than its header says.

    Some containers measure the duration from zero, some from the first frame; a video is short only if it is by both.
    """
    if length is None:
        return 0.0
    numerator, denominator = timeline.time_base
    shown_sec = timeline.end_sec - int(timeline.pts[0]) * numerator / denominator
    return length.seconds - max(shown_sec, timeline.end_sec)


def _timeline(index: PacketIndex, header: _Header, first: av.VideoFrame, found: FoundTimes, notes: list) -> Timeline:
    pts = found.pts
    tick_sec = float(header.time_base)
    step_sec = index.last_duration * tick_sec or _usual_step(pts, header.rate, tick_sec)
    end_sec = float(pts[-1]) * tick_sec + step_sec
    shown_sec = end_sec - float(pts[0]) * tick_sec
    if shown_sec > MAX_SECONDS:
        raise VideoError(f"its timestamps span {shown_sec / 3600:.0f} hours, more than {MAX_SECONDS / 3600:.0f}")
    notes += loss_notes(found.losses, index.pts, found.holes, tick_sec)
    is_key = (index.is_start if index.fallback_reason is None else index.is_key) & ~index.is_hidden
    orientations = Orientations()
    orientation, own_aspect = orientations(first), AspectReader()(first)
    return Timeline(
        codec=header.codec,
        size=(first.height, first.width),
        sample_aspect=header.sample_aspect,
        rotation=orientation.rotation,
        time_base=(header.time_base.numerator, header.time_base.denominator),
        pts=pts,
        key_pts=pts[:0] if found.by_order else np.sort(index.known_pts[is_key]),
        end_sec=end_sec,
        by_order=found.by_order,
        notes=(*notes, *orientations.notes, *hdr_note(first)),
        holes=found.holes,
        mirrored=orientation.mirrored,
        coded_aspect=own_aspect or SQUARE,
        index=index,
    )


def _read_header(container, stream) -> _Header:
    context, (rate, _) = stream.codec_context, frame_rate(container, stream)
    aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio or SQUARE
    return _Header(context.name, announced_length(container, stream), aspect, stream.time_base, rate)


class _FirstFrame:
    """Decodes the packets that it is called with until a frame comes out.

    The decoder is drained right after the first key frame, so that its frame comes out at once.
    may_be_hidden: also decode a first frame that an edit list hides, as it looks like the first one displayed.
    """

    def __init__(self, codec_context, may_be_hidden: bool = False):
        self._codec_context, self._may_be_hidden = codec_context, may_be_hidden
        self.frame: av.VideoFrame | None = None
        self.is_redescribed = False  # packets contain parameters: there are several sample descriptions
        self._is_drained = False

    def __call__(self, packet: av.Packet | None) -> av.VideoFrame | None:
        if packet is not None and self.frame is not None:
            for side in packet.iter_sidedata():
                self.is_redescribed |= side.data_type == "new_extradata"
            return self.frame
        if self._may_be_hidden and packet is not None and packet.is_keyframe and packet.is_discard:
            packet = _shown(packet)
        if self.frame is None:
            with contextlib.suppress(av.error.FFmpegError):
                self.frame = next(iter(self._codec_context.decode(packet)), None)
        may_drain = packet is not None and packet.is_keyframe and not packet.is_discard
        if self.frame is None and not self._is_drained and may_drain:
            self._is_drained = True
            with contextlib.suppress(av.error.FFmpegError):
                self.frame = next(iter(self._codec_context.decode(None)), None)
            self._codec_context.flush_buffers()
        return self.frame


def _shown(packet: av.Packet) -> av.Packet:
    """A copy of the packet that is not marked as hidden, without side data."""
    shown = av.Packet(bytes(packet))
    shown.time_base, shown.pts, shown.is_keyframe = packet.time_base, packet.pts, True
    return shown


def _usual_step(pts: np.ndarray, rate: Fraction, tick_sec: float) -> float:
    return float(np.median(np.diff(pts))) * tick_sec if len(pts) > 1 else float(1 / rate)


def announced_end_sec(path: VideoLocation) -> float | None:
    """The time in seconds at which the video ends according to its header, or None.

    VideoError if the file cannot be opened.
    """
    with open_video(path, "software") as (_, stream):
        if not stream.duration:
            return None
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
