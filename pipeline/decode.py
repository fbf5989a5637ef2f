"""Opening videos: their timeline of frames, and the wanted frames as RGB. The only reader of containers.

One thread per decoder, one pass from the start, nothing kept but the frame in hand. Knows no crops and no cache.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Interpolation

DECODER = "pyav-software-1"  # part of a cache's identity: it changes when the pixels may
MAX_PIXELS = 64_000_000  # of one frame; more is a broken or hostile header
MAX_FRAMES = 24 * 3600 * 240
OPEN_OPTIONS = {  # a text file named .mp4 must not make the demuxer open other files
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,"
    "h264,hevc,m4v,ivf,obu,yuv4mpegpipe,mxf",
}
PARTIAL_SEC = 0.5  # a stream this much shorter than its header promises is called partial


class VideoError(Exception):
    """This video cannot be used. The message says why, in a few words."""


@dataclass(frozen=True)
class Timeline:
    """What a video holds, before anything but its first frame was decoded.

    pts: (n,) int64, increasing. by_order: packets carry no usable pts, so that frames are known by their order.
    size: (height, width) of the decoded frame; sample_aspect: width over height of one pixel; rotation: degrees
    clockwise that set it upright. end_sec: when the last frame ceases to be shown.
    """

    codec: str
    size: tuple[int, int]
    sample_aspect: float
    rotation: int
    time_base: tuple[int, int]
    pts: np.ndarray
    end_sec: float
    by_order: bool
    notes: tuple[str, ...]

    @property
    def upright_size(self) -> tuple[float, float]:
        """(height, width) with square pixels, after rotation."""
        height, width = self.size[0], self.size[1] * self.sample_aspect
        return (width, height) if self.rotation in (90, 270) else (height, width)


@dataclass
class _Packets:
    """What one pass over the packets found."""

    pts: list
    last_duration: int
    error: str | None


def read_timeline(path: Path) -> Timeline:
    """The Timeline of a video. VideoError where it has no frame that can be decoded."""
    with _opened(path) as (container, stream):
        if stream.codec_context is None:
            raise VideoError("its codec is unknown")
        codec, promised_sec, notes = stream.codec_context.name, _promised_sec(stream), _stream_notes(container, stream)
        packets = _packets(container, stream)
        sample_aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1
        time_base = stream.time_base
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    if not packets.pts:
        raise VideoError("it holds no video frame" + (f" ({packets.error})" if packets.error else ""))
    by_order = None in packets.pts or len(set(packets.pts)) != len(packets.pts)
    if by_order:
        pts = _pts_by_order(path, rate, time_base)
        notes.append("packets without usable timestamps: frames are known by their order")
    else:
        pts = np.array(sorted(packets.pts), np.int64)
    first = _first_frame(path)
    tick_sec = float(time_base)
    end_sec = float(pts[-1]) * tick_sec + (packets.last_duration * tick_sec or _usual_step(pts, rate, tick_sec))
    shown_sec = end_sec - float(pts[0]) * tick_sec
    # Some containers count the duration from zero, some from the first frame: short by both counts is short.
    lacking_sec = 0.0 if promised_sec is None else promised_sec - max(shown_sec, end_sec)
    if lacking_sec > PARTIAL_SEC:
        notes.append(f"partial: it ends {lacking_sec:.1f} s before its header says")
    return Timeline(
        codec=codec,
        size=(first.height, first.width),
        sample_aspect=float(sample_aspect),
        rotation=_clockwise(first.rotation, notes),
        time_base=(time_base.numerator, time_base.denominator),
        pts=pts,
        end_sec=end_sec,
        by_order=by_order,
        notes=tuple(notes),
    )


def wanted_frames(path: Path, frame_index: np.ndarray, pts: np.ndarray, by_order: bool) -> Iterator:
    """Decode in one pass; yield (i, rgb) for wanted frame i, where rgb is (H, W, 3) uint8.

    frame_index, pts: (n,) int64, increasing. A frame that cannot be decoded, or whose decoder calls it corrupt,
    is not yielded: its neighbour never takes its place. Yields (None, None) now and then as a sign of life.
    """
    identities = frame_index if by_order else pts
    wanted = {int(identity): i for i, identity in enumerate(identities)}
    if not wanted:
        return
    last = int(identities[-1])
    for order, frame in enumerate(_frames(path)):
        identity = order if by_order else frame.pts
        i = wanted.pop(identity, None)
        if i is not None and not frame.is_corrupt:
            yield i, to_rgb(frame)
        elif order % 100 == 0:
            yield None, None
        if identity is not None and identity >= last:  # frames come in the order they are shown
            return


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame as (H, W, 3) uint8 RGB, with its own colour space and range."""
    converted = frame.reformat(format="rgb24", interpolation=Interpolation.BICUBIC, threads=1)
    return converted.to_ndarray()


@contextlib.contextmanager
def _opened(path: Path):
    """(container, stream) with a single-threaded decoder; errors of FFmpeg as VideoError."""
    try:
        with av.open(str(path), options=OPEN_OPTIONS) as container:
            stream = _pick_stream(container)
            if stream.codec_context is not None:
                stream.thread_type = "NONE"
                stream.codec_context.thread_count = 1
            yield container, stream
    except av.error.FFmpegError as error:
        raise VideoError(f"it cannot be read ({error.strerror})") from error
    except (OSError, ValueError) as error:
        raise VideoError(f"it cannot be opened ({error})") from error


def _pick_stream(container):
    """The first video stream that is no cover picture and says that it has frames; else the first of them."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError("it has no video stream")
    return next((stream for stream in streams if stream.frames > 0), streams[0])


def _stream_notes(container, stream) -> list[str]:
    count = len(container.streams.video)
    return [f"video stream {stream.index} of {count} video streams is used"] if count > 1 else []


def _packets(container, stream) -> _Packets:
    found = _Packets([], 0, None)
    last_pts = None
    try:
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard:
                continue
            found.pts.append(packet.pts)
            if last_pts is None or (packet.pts is not None and packet.pts >= last_pts):
                last_pts, found.last_duration = packet.pts, packet.duration or 0
            if len(found.pts) > MAX_FRAMES:
                raise VideoError(f"it has more than {MAX_FRAMES} frames")
    except av.error.FFmpegError as error:
        found.error = error.strerror
    return found


def _frames(path: Path) -> Iterator[av.VideoFrame]:
    """Every frame that decodes, in presentation order; a packet that does not decode is passed over."""
    with _opened(path) as (container, stream):
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.FFmpegError):
                return
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                if frame.width * frame.height > MAX_PIXELS:
                    raise VideoError(f"a frame of {frame.width}x{frame.height} is larger than {MAX_PIXELS} pixels")
                yield frame


def _first_frame(path: Path) -> av.VideoFrame:
    with contextlib.closing(_frames(path)) as frames:
        for frame in frames:
            return frame
    raise VideoError("none of its frames can be decoded")


def _pts_by_order(path: Path, rate: Fraction, time_base: Fraction) -> np.ndarray:
    """Timestamps of a stream whose packets have none: the decoder's where it knows them, else by frame rate."""
    pts = [frame.pts for frame in _frames(path)]
    if not pts:
        raise VideoError("none of its frames can be decoded")
    if None not in pts and all(a < b for a, b in itertools.pairwise(pts)):
        return np.array(pts, np.int64)
    step = max(round(1 / (rate * time_base)), 1)
    return np.arange(len(pts), dtype=np.int64) * step


def _usual_step(pts: np.ndarray, rate: Fraction, tick_sec: float) -> float:
    return float(np.median(np.diff(pts))) * tick_sec if len(pts) > 1 else float(1 / rate)


def _promised_sec(stream) -> float | None:
    return float(stream.duration * stream.time_base) if stream.duration else None


def _clockwise(counter_clockwise: int, notes: list[str]) -> int:
    rotation = round(-counter_clockwise / 90) * 90 % 360
    if counter_clockwise % 90:
        notes.append(f"its rotation of {-counter_clockwise} degrees is taken as {rotation}")
    return rotation
