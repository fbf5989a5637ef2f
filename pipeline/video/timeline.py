"""What a video holds and when each of its frames is shown, before more than its first frame was decoded."""

import contextlib
import dataclasses
import itertools
from collections.abc import Generator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.video.colour import hdr_note
from pipeline.video.complaints import is_complaint, listening
from pipeline.video.container import SignClock, VideoError, check_size, frame_rate, opened, packets_of
from pipeline.video.indexing import read_index
from pipeline.video.packets import PacketIndex

PARTIAL_SEC = 0.5  # a stream this much shorter than its header promises is called partial
MAX_SECONDS = 48 * 3600.0


@dataclass(frozen=True)
class Timeline:
    """What a video holds.

    pts: (n,) int64, increasing; key_pts: (m,) int64, increasing, those at which decoding can begin. by_order: packets
    carry no usable pts, so that frames are known by their order. size: (height, width) of the decoded frame;
    sample_aspect: width over height of one pixel; rotation: degrees clockwise that set it upright. end_sec: when the
    last frame ceases to be shown. index: what was read of the packets, as long as it is not sent elsewhere.
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
    index: PacketIndex | None = field(default=None, compare=False, repr=False)

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
        peek = _FirstFrame(stream.codec_context)
        index = yield from read_index(container, stream, peek)
        first = peek.frame or peek(None)
    if not len(index.is_key):
        raise VideoError("it holds no video frame" + (f" ({index.error})" if index.error else ""))
    if index.pts is not None and not len(index.shown_pts):
        raise VideoError("its edit list hides every frame")
    if first is None:
        raise VideoError("none of its frames can be decoded")
    pts = None if index.pts is None else index.shown_pts
    by_order = False
    if pts is None or not index.is_ordered:
        if index.tells_order:
            pts, by_order = (_even_pts(int((~index.is_hidden).sum()), header) if pts is None else pts), True
        else:
            pts, by_order = yield from _decoded_pts(path, decoder, header, pts)
    if by_order:
        notes.append("packets without usable timestamps: frames are known by their order")
    return _timeline(index, header, first, (pts, by_order), notes)


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


def _timeline(index: PacketIndex, header: _Header, first: av.VideoFrame, shown: tuple, notes: list) -> Timeline:
    pts, by_order = shown
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
    is_key = index.is_start if index.doubt is None else index.is_key
    return Timeline(
        codec=header.codec,
        size=(first.height, first.width),
        sample_aspect=header.sample_aspect,
        rotation=_clockwise(first.rotation, notes),
        time_base=(header.time_base.numerator, header.time_base.denominator),
        pts=pts,
        key_pts=pts[:0] if by_order else np.sort(index.pts[is_key & ~index.is_hidden]),
        end_sec=end_sec,
        by_order=by_order,
        notes=(*notes, *hdr_note(first)),
        index=index,
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


def _decoded_pts(
    path: Path, decoder: str, header: _Header, promised: np.ndarray | None
) -> Generator[None, None, tuple[np.ndarray, bool]]:
    """(pts of the frames, by_order) of a stream whose packets do not tell in which order its frames come out.

    promised: the packets' pts, sorted, if they have any. They stand where the frames that decode come out in their
    order, and those that do not were complained of; else the frames' own stand. Where the frames' own are of no use,
    the packets' are given to the frames in the order of output, or, with other numbers of both, even steps.
    """
    pts, is_damaged, clock = [], False, SignClock()
    with opened(path, decoder) as (container, stream), listening() as messages:
        for packet in itertools.chain(packets_of(container, stream), (None,)):
            messages.clear()
            try:
                for frame in stream.codec_context.decode(packet):
                    check_size(frame.width, frame.height)
                    pts.append(frame.pts)
                    is_damaged |= frame.is_corrupt
            except av.error.FFmpegError:
                is_damaged = True
            is_damaged |= any(is_complaint(level, text) for level, _, text in messages)
            if clock.is_due():
                yield None
    if not pts:
        raise VideoError("none of its frames can be decoded")
    if None not in pts and all(a < b for a, b in itertools.pairwise(pts)):
        found = np.array(pts, np.int64)
        is_whole = promised is not None and np.isin(found, promised).all()
        if is_whole and (is_damaged or len(found) == len(promised)):
            return promised, False
        return found, True
    if promised is not None and len(promised) == len(pts):
        return promised, True  # AVI: the times are right, but packets carry them in the order of decoding
    return _even_pts(len(pts), header), True


def _even_pts(count: int, header: _Header) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * max(round(1 / (header.rate * header.time_base)), 1)


def _usual_step(pts: np.ndarray, rate: Fraction, tick_sec: float) -> float:
    return float(np.median(np.diff(pts))) * tick_sec if len(pts) > 1 else float(1 / rate)


def _clockwise(counter_clockwise: int, notes: list[str]) -> int:
    rotation = round(-counter_clockwise / 90) * 90 % 360
    if counter_clockwise % 90:
        notes.append(f"its rotation of {-counter_clockwise} degrees is taken as {rotation}")
    return rotation
