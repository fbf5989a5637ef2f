"""Open video files safely: allowed formats only, limited sizes, one thread. Decodes nothing.

Each decoder has one thread: threads inside FFmpeg can deadlock when several decoders run at once.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel

from embedonce.pipeline.errors import DecoderError
from embedonce.pipeline.video.demuxer_input import DemuxerInput, demuxer_input, open_container
from embedonce.pipeline.video.failure_reasons import why_no_stream, why_unreadable
from embedonce.pipeline.video.ffmpeg_log import capture_log
from embedonce.pipeline.video.known_stream import KnownStream
from embedonce.pipeline.video.location import VideoLocation
from embedonce.pipeline.video.reopening import open_unprobed, reopen
from embedonce.pipeline.video.tracks import pick_track

HEARTBEAT_SEC = 1.0
MAX_PIXELS = 64_000_000  # per frame; more means a damaged or malicious header
OPEN_OPTIONS = {  # a text file named .mp4 must not make the demuxer open other files or URLs
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,"
    "h264,hevc,m4v,ivf,obu,yuv4mpegpipe,mxf",
}
DECODERS = {"software": "pyav-software-2", "nvdec": "pyav-nvdec-1"}  # option value -> name in the cache's identity


@dataclass(frozen=True)
class _Opening:
    """Where an open container comes from, and FFmpeg's messages from opening it."""

    location: VideoLocation
    messages: list[tuple[int, str, str]]


_OPENINGS: dict[int, _Opening] = {}  # by id() of open containers


class VideoError(Exception):
    """This video cannot be used. The message gives the reason in a few words."""

    is_temporary = False  # whether the same file may be usable another time


class TemporaryError(VideoError):
    """This video cannot be used now, but perhaps later: its file could not be read, or was changed meanwhile."""

    is_temporary = True


class HeartbeatClock:
    """Tells when the next heartbeat is due, so that a long task shows that it is alive."""

    def __init__(self):
        self._last = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < HEARTBEAT_SEC:
            return False
        self._last = now
        return True


@contextlib.contextmanager
def open_video(location: VideoLocation, decoder: str, known: KnownStream | None = None, is_probed: bool = True):
    """Yield (container, stream) of the video stream to use. Errors of FFmpeg and the system become VideoError.

    A file that is not local and could not be read to its end is a TemporaryError, whatever FFmpeg made of the rest.

    decoder: a key of DECODERS; there is no fallback to another one. known: the stream as an earlier opening found it.
    FFmpeg then skips probing, and packets of other streams are discarded. If the file has changed since, it is opened
    as an unknown one. is_probed: if false, a file whose headers may be insufficient without probing is a VideoError as
    well.
    """
    try:
        with demuxer_input(location) as source, _opened(location, source, decoder, known, is_probed) as opened:
            yield opened
    except OSError as error:
        raise TemporaryError(f"its file cannot be read now ({error}); run the same command again") from error


@contextlib.contextmanager
def _opened(location: VideoLocation, source: DemuxerInput, decoder: str, known: KnownStream | None, is_probed: bool):
    """open_video() for a file that is open already."""
    try:
        with capture_log() as messages:
            container, stream = (None, None) if known is None else reopen(source, known, OPEN_OPTIONS)
            if not is_probed:
                container = open_unprobed(source, OPEN_OPTIONS)
                if container is None:
                    raise VideoError("its headers are insufficient without probing")
            if container is None:
                container = open_container(source, options=OPEN_OPTIONS, hwaccel=_acceleration(decoder))
        with container:
            stream = pick_track(container) if stream is None else stream
            if stream is None:
                kinds = ["a cover picture" if found.type == "video" else found.type for found in container.streams]
                raise VideoError(why_no_stream(location, kinds))
            context = stream.codec_context
            if context is None:
                raise VideoError("its codec is unknown")
            check_size(context.width, context.height)
            stream.thread_type = "NONE"
            context.thread_count = 1
            context.options = {"max_pixels": str(MAX_PIXELS)}
            _OPENINGS[id(container)] = _Opening(location, list(messages))
            try:
                yield container, stream
            finally:
                del _OPENINGS[id(container)]
    except (av.error.InvalidDataError, av.error.ArgumentError, av.error.EOFError) as error:
        raise VideoError(f"it cannot be read ({why_unreadable(location, error.strerror)})") from error
    except av.error.FFmpegError as error:
        raise VideoError(f"it cannot be read ({error.strerror})") from error
    except (OSError, ValueError) as error:
        if getattr(error, "is_temporary", False):
            raise TemporaryError(f"its file cannot be read now ({error}); run the same command again") from error
        raise VideoError(f"it cannot be opened ({error})") from error


def messages_while_opening(container) -> list[tuple[int, str, str]]:
    """FFmpeg's messages (level, name, text) from opening this container, which reads some packets ahead."""
    opening = _OPENINGS.get(id(container))
    return [] if opening is None else opening.messages


def location_of(container) -> VideoLocation:
    """Where the file of an open container is."""
    opening = _OPENINGS.get(id(container))
    return Path(container.name) if opening is None else opening.location


def check_decoder(decoder: str) -> None:
    """Raise DecoderError if this machine does not have the decoder."""
    acceleration = _acceleration(decoder)
    if acceleration is not None:
        try:
            acceleration.create(av.Codec("h264", "r"))
        except (av.error.FFmpegError, OSError, ValueError, NotImplementedError) as error:
            raise DecoderError(
                f"--decoder {decoder} cannot be used on this machine ({error}); use --decoder software"
            ) from error


def _acceleration(decoder: str) -> HWAccel | None:
    return HWAccel("cuda", allow_software_fallback=False) if decoder == "nvdec" else None


def check_size(width: int, height: int) -> None:
    """Raise VideoError if a frame is too large."""
    if width * height > MAX_PIXELS:
        raise VideoError(f"a frame of {width}x{height} is larger than {MAX_PIXELS} pixels")


def packets_of(container, stream, errors: list[str] | None = None) -> Iterator[av.Packet]:
    """Yield the packets of the stream in decoding order, until the container cannot be read further.

    errors: the reason is appended here if reading stops early.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except av.error.FFmpegError as error:
            if errors is not None:
                errors.append(error.strerror or str(error))
            return
        except (
            StopIteration,
            IndexError,
        ):  # PyAV raises IndexError at the end if streams appeared that no header lists
            return
        if packet.size:
            yield packet
