"""What a video holds and when each of its frames is shown, before more than its first frame was decoded."""

import contextlib
import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.video.colour import hdr_note
from pipeline.video.container import VideoError, frame_rate, opened
from pipeline.video.indexing import read_index
from pipeline.video.losses import loss_notes
from pipeline.video.output_order import FoundTimes, decoded_times
from pipeline.video.packets import PacketIndex
from pipeline.video.reasons import ENCRYPTED_FRAMES, no_frames

PARTIAL_SEC = 0.5  # a stream this much shorter than its header promises is called partial
MAX_SECONDS = 48 * 3600.0


@dataclass(frozen=True)
class Timeline:
    """What a video holds.

    pts: (n,) int64, non-decreasing; of frames with equal pts the last is shown. key_pts: (m,) int64, increasing, those
    at which decoding can begin. by_order: the packets' pts do not tell frames apart, so that these are known by their
    order. size: (height, width) of the decoded frame; sample_aspect: width over height of one pixel; rotation: degrees
    clockwise that set it upright. end_sec: when the last frame ceases to be shown. holes: (h, 2) int64 ticks
    [start, end), increasing: times whose frames the file has lost.
    """

    codec: str
    size: tuple[int, int]
    sample_aspect: float
    rotation: int
    time_base: tuple[int, int]
    pts: np.ndarray
    key_pts: np.ndarray
    end_sec: float
    by_order: bool
    notes: tuple[str, ...]
    holes: np.ndarray | None = None

    @property
    def upright_size(self) -> tuple[float, float]:
        """(height, width) with square pixels, after rotation."""
        height, width = self.size[0], self.size[1] * self.sample_aspect
        return (width, height) if self.rotation in (90, 270) else (height, width)


@dataclass(frozen=True)
class _Header:
    """What the container says of the stream."""

    codec: str
    promised_sec: float | None
    sample_aspect: float
    time_base: Fraction
    rate: Fraction


def read_timeline(path: Path, decoder: str = "software") -> Generator[None, None, Timeline]:
    """Yields None now and then as a sign of life; returns the Timeline.

    VideoError where the video has no frame that can be decoded.
    """
    with opened(path, decoder) as (container, stream):
        header, notes = _read_header(stream), _stream_notes(container, stream)
        pid = stream.id if container.format.name == "mpegts" else None
        peek = _FirstFrame(stream.codec_context)
        index = yield from read_index(container, stream, peek)
        first = peek.frame or peek(None)
    if not len(index.is_key):
        raise VideoError(no_frames(path, index.error, pid))
    if index.num_encrypted == len(index.is_key):
        raise VideoError(ENCRYPTED_FRAMES)
    if index.pts is not None and not len(index.shown_pts):
        raise VideoError("its edit list hides every frame")
    if first is None:
        raise VideoError("none of its frames can be decoded")
    notes += index.notes
    if index.pts is not None and index.is_ordered:
        found = FoundTimes(index.shown_pts, (), False, index.losses, index.holes)
    else:
        found = yield from decoded_times(path, decoder, index, 1 / (header.rate * header.time_base))
    return _timeline(index, header, first, found, [*notes, *found.notes])


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
    if timeline.rotation:
        raise VideoError(
            f"it is stereo and turned by {timeline.rotation} degrees: which half is the left eye is unknown"
        )
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
    # Some containers count the duration from zero, some from the first frame: short by both counts is short.
    lacking_sec = 0.0 if header.promised_sec is None else header.promised_sec - max(shown_sec, end_sec)
    if lacking_sec > PARTIAL_SEC:
        notes.append(f"partial: it ends {lacking_sec:.1f} s before its header says")
    notes += loss_notes(found.losses, index.pts, found.holes, tick_sec)
    is_key = (index.is_start if index.doubt is None else index.is_key) & ~index.is_hidden
    return Timeline(
        codec=header.codec,
        size=(first.height, first.width),
        sample_aspect=header.sample_aspect,
        rotation=_clockwise(first.rotation, notes),
        time_base=(header.time_base.numerator, header.time_base.denominator),
        pts=pts,
        key_pts=pts[:0] if found.by_order else np.sort(index.pts[is_key]),
        end_sec=end_sec,
        by_order=found.by_order,
        notes=(*notes, *hdr_note(first)),
        holes=found.holes,
    )


def _read_header(stream) -> _Header:
    context = stream.codec_context
    sample_aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio or 1
    promised_sec = float(stream.duration * stream.time_base) if stream.duration else None
    return _Header(context.name, promised_sec, float(sample_aspect), stream.time_base, frame_rate(stream))


def _stream_notes(container, stream) -> list[str]:
    count = len(container.streams.video)
    return [f"video stream {stream.index} of {count} video streams is used"] if count > 1 else []


class _FirstFrame:
    """Decodes the packets it is called with until a frame comes out.

    The first key frame is asked for at once, without the packets that a decoder would see before it lets go of it.
    """

    def __init__(self, codec_context):
        self._codec_context = codec_context
        self.frame: av.VideoFrame | None = None
        self._is_pressed = False

    def __call__(self, packet: av.Packet | None) -> av.VideoFrame | None:
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


def _usual_step(pts: np.ndarray, rate: Fraction, tick_sec: float) -> float:
    return float(np.median(np.diff(pts))) * tick_sec if len(pts) > 1 else float(1 / rate)


def _clockwise(counter_clockwise: int, notes: list[str]) -> int:
    rotation = round(-counter_clockwise / 90) * 90 % 360
    if counter_clockwise % 90:
        notes.append(f"its rotation of {-counter_clockwise} degrees is taken as {rotation}")
    return rotation
