"""What a video holds and when each of its frames is shown, before more than its first frame was decoded."""

import contextlib
import dataclasses
from collections.abc import Generator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from embedonce.pipeline.video.announced_length import (
    PARTIAL_SEC,
    RAW_FORMATS,
    Length,
    frame_rate,
    is_reached,
    promised_length,
)
from embedonce.pipeline.video.color import hdr_note
from embedonce.pipeline.video.container import VideoError, heard_while_opening, opened
from embedonce.pipeline.video.ffmpeg_log import is_loss
from embedonce.pipeline.video.geometry import SQUARE, AspectReader, Orientations, upright_size
from embedonce.pipeline.video.indexing import read_index
from embedonce.pipeline.video.known_streams import MAX_DEPTH, held_back
from embedonce.pipeline.video.losses import loss_notes
from embedonce.pipeline.video.orientation import UPRIGHT, Orientation
from embedonce.pipeline.video.output_order import FoundTimes, decoded_times
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.reasons import ENCRYPTED_FRAMES, no_frames
from embedonce.pipeline.video.tracks import track_note

MAX_SECONDS = 48 * 3600.0
PARTIAL_NOTE = "partial: "  # how the note of a video that ends early begins, in plans too


@dataclass(frozen=True)
class Timeline:
    """What a video holds.

    pts: (n,) int64, non-decreasing; of frames with equal pts the last is shown. key_pts: (m,) int64, increasing, those
    at which decoding can begin. by_order: the packets' pts do not tell frames apart, so that these are known by their
    order. size: (height, width) of the decoded frame; sample_aspect: width over height of one pixel, as the container
    has it where it has one; rotation, mirrored: as in Orientation; coded_aspect: the pixel aspect of the frame itself.
    All of these are those of the first frame. end_sec: when the last frame ceases to be shown. holes: (h, 2) int64
    ticks [start, end), increasing: times whose frames the file has lost. index: what was read of the packets, as long
    as it is not sent elsewhere. is_partial: it ends before its header says.
    """

    codec: str
    size: tuple[int, int]
    sample_aspect: Fraction
    rotation: int
    time_base: tuple[int, int]
    pts: np.ndarray
    key_pts: np.ndarray
    end_sec: float
    by_order: bool
    notes: tuple[str, ...]
    holes: np.ndarray | None = None
    mirrored: bool = False
    coded_aspect: Fraction = SQUARE
    index: PacketIndex | None = field(default=None, compare=False, repr=False)
    is_partial: bool = False

    @property
    def orientation(self) -> Orientation:
        return Orientation(self.rotation, self.mirrored)

    @property
    def upright_size(self) -> tuple[float, float]:
        """(height, width) with square pixels, after rotation."""
        return upright_size(self.size, self.sample_aspect, self.orientation)


def is_partial_note(note: str) -> bool:
    """Whether a note of a timeline says that the video ends early."""
    return note.startswith(PARTIAL_NOTE)


@dataclass(frozen=True)
class _Header:
    """What the container says of the stream."""

    codec: str
    length: Length | None
    sample_aspect: Fraction
    time_base: Fraction
    rate: Fraction


@dataclass(frozen=True)
class _Read:
    """What was read of a container while it was open.

    pid: of a transport stream. is_redescribed: as in _FirstFrame.
    """

    header: _Header
    notes: list[str]
    index: PacketIndex
    first: av.VideoFrame | None
    is_redescribed: bool
    pid: int | None


def read_timeline(path: Path, decoder: str = "software") -> Generator[None, None, Timeline]:
    """Yields None now and then as a sign of life; returns the Timeline.

    VideoError where the video has no frame that can be decoded.
    """
    read = None
    if decoder == "software":
        read = yield from _read_unprobed(path)
    if read is None:
        with opened(path, decoder) as (container, stream):
            read = yield from _read(container, stream)
    header, notes, index, first, pid = read.header, [*read.notes], read.index, read.first, read.pid
    if not len(index.is_key):
        raise VideoError(no_frames(path, index.error, pid))
    if index.num_encrypted == len(index.is_key):
        raise VideoError(ENCRYPTED_FRAMES)
    if index.pts is not None and not len(index.shown_pts):
        raise VideoError("its edit list hides every frame")
    if first is None:
        raise VideoError("none of its frames can be decoded")
    if read.is_redescribed:  # FFmpeg makes one pixel aspect of all descriptions: the frame's own word counts more
        header = dataclasses.replace(header, sample_aspect=AspectReader()(first) or header.sample_aspect)
    notes += index.notes
    if index.pts is not None and index.is_ordered:
        found = FoundTimes(index.shown_pts, (), False, index.losses, index.holes)
    else:
        found = yield from decoded_times(path, decoder, index, 1 / (header.rate * header.time_base))
    timeline = _timeline(index, header, first, found, [*notes, *found.notes])
    lacking_sec = _lacking_sec(timeline, header.length)
    if lacking_sec <= PARTIAL_SEC or (header.length.is_of_all and (yield from is_reached(path, header.length))):
        return timeline
    partial = f"{PARTIAL_NOTE}it ends {lacking_sec:.1f} s before its header says"
    return dataclasses.replace(timeline, notes=(*timeline.notes, partial), is_partial=True)


def _read(container, stream, is_probed: bool = True) -> Generator[None, None, _Read]:
    """Yields None now and then. Where it is not probed: read no further once anything is doubted."""
    header, notes = _read_header(container, stream), [*track_note(container, stream)]
    if container.format.name in RAW_FORMATS and not frame_rate(container, stream)[1]:
        notes.append(f"it carries no frame rate: {header.rate} per second are assumed")
    pid = stream.id if container.format.name == "mpegts" else None
    peek = _FirstFrame(stream.codec_context, may_be_hidden=not is_probed)
    index = yield from read_index(container, stream, peek, stops_at_doubt=not is_probed)
    first = peek.frame or peek(None)
    return _Read(header, notes, index, first, peek.is_redescribed, pid)


def _read_unprobed(path: Path) -> Generator[None, None, _Read | None]:
    """What _read() returns of a file that was opened without probing; None where probing might have found more.

    That it would not: all is as headers say, in order and whole, and frames need not be counted.
    """
    with contextlib.suppress(VideoError), opened(path, "software", is_probed=False) as (container, stream):
        heard = heard_while_opening(container)  # of decoders it is that they were not opened
        if any(is_loss(level, text) for level, name, text in heard if name == container.format.name):
            return None
        read = yield from _read(container, stream, is_probed=False)
        index, is_plain = read.index, not read.is_redescribed and read.first is not None
        if not is_plain or not index.is_flawless or (index.is_hidden[0] and index.turns):
            return None
        depth = max(held_back(index.pts), stream.codec_context.reorder_depth)
        if depth > MAX_DEPTH:
            return None
        index = dataclasses.replace(index, stream=dataclasses.replace(index.stream, reorder_depth=depth))
        return dataclasses.replace(read, header=_read_header(container, stream), index=index)  # the first frame is out
    return None


def _lacking_sec(timeline: Timeline, length: Length | None) -> float:
    """Seconds by which a video is shorter than its header says.

    Some containers count the duration from zero, some from the first frame: short by both counts is short.
    """
    if length is None:
        return 0.0
    numerator, denominator = timeline.time_base
    shown_sec = timeline.end_sec - int(timeline.pts[0]) * numerator / denominator
    return length.seconds - max(shown_sec, timeline.end_sec)


def promised_end(path: Path) -> float | None:
    """The seconds, on the container's timeline, at which the header says that the video ends; None where it does not.

    VideoError where the file cannot be opened.
    """
    with opened(path, "software") as (_, stream):
        if not stream.duration:
            return None
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)


def left_half(timeline: Timeline) -> Timeline:
    """The timeline of the left half of the frames, of a video that holds two eyes side by side."""
    if timeline.orientation != UPRIGHT:
        raise VideoError(f"it is stereo and {timeline.orientation}: which half is the left eye is unknown")
    height, width = timeline.size
    notes = (*timeline.notes, "stereo: the left eye is used")
    return dataclasses.replace(timeline, size=(height, width // 2), notes=notes)


def _timeline(index: PacketIndex, header: _Header, first: av.VideoFrame, found: FoundTimes, notes: list) -> Timeline:
    pts = found.pts
    tick_sec = float(header.time_base)
    step_sec = index.last_duration * tick_sec or _usual_step(pts, header.rate, tick_sec)
    end_sec = float(pts[-1]) * tick_sec + step_sec
    shown_sec = end_sec - float(pts[0]) * tick_sec
    if shown_sec > MAX_SECONDS:
        raise VideoError(f"its timestamps span {shown_sec / 3600:.0f} hours, more than {MAX_SECONDS / 3600:.0f}")
    notes += loss_notes(found.losses, index.pts, found.holes, tick_sec)
    is_key = (index.is_start if index.doubt is None else index.is_key) & ~index.is_hidden
    orientations = Orientations()
    orientation, own_aspect = orientations(first), AspectReader()(first)
    return Timeline(
        codec=header.codec,
        size=(first.height, first.width),
        sample_aspect=header.sample_aspect,
        rotation=orientation.rotation,
        time_base=(header.time_base.numerator, header.time_base.denominator),
        pts=pts,
        key_pts=pts[:0] if found.by_order else np.sort(index.pts[is_key]),
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
    return _Header(context.name, promised_length(container, stream), aspect, stream.time_base, rate)


class _FirstFrame:
    """Decodes the packets it is called with until a frame comes out.

    The first key frame is asked for at once, without the packets that a decoder would see before it lets go of it.
    may_be_hidden: also where an edit list hides it, for it looks like the first one that is shown.
    """

    def __init__(self, codec_context, may_be_hidden: bool = False):
        self._codec_context, self._may_be_hidden = codec_context, may_be_hidden
        self.frame: av.VideoFrame | None = None
        self.is_redescribed = False  # packets bring parameters: there are several sample descriptions
        self._is_pressed = False

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
        may_press = packet is not None and packet.is_keyframe and not packet.is_discard
        if self.frame is None and not self._is_pressed and may_press:
            self._is_pressed = True
            with contextlib.suppress(av.error.FFmpegError):
                self.frame = next(iter(self._codec_context.decode(None)), None)
            self._codec_context.flush_buffers()
        return self.frame


def _shown(packet: av.Packet) -> av.Packet:
    """The packet without what hides its frame, and without its side data."""
    shown = av.Packet(bytes(packet))
    shown.time_base, shown.pts, shown.is_keyframe = packet.time_base, packet.pts, True
    return shown


def _usual_step(pts: np.ndarray, rate: Fraction, tick_sec: float) -> float:
    return float(np.median(np.diff(pts))) * tick_sec if len(pts) > 1 else float(1 / rate)
