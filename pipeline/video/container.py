"""Opening video files safely: whitelists, limits, one thread. Decodes nothing.

One thread per decoder: threads inside FFmpeg can deadlock when several decoders run at once.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel

from embedonce.pipeline.errors import DecoderError
from embedonce.pipeline.video.ffmpeg_log import capture_log
from embedonce.pipeline.video.known_streams import KnownStream
from embedonce.pipeline.video.reasons import no_stream, unreadable
from embedonce.pipeline.video.reopening import reopened, unprobed
from embedonce.pipeline.video.tracks import pick_track

SECONDS_PER_SIGN = 1.0  # of life, while nothing else is to be told
MAX_PIXELS = 64_000_000  # of one frame; more is a broken or hostile header
OPEN_OPTIONS = {  # a text file named .mp4 must not make the demuxer open other files
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,"
    "h264,hevc,m4v,ivf,obu,yuv4mpegpipe,mxf",
}
DECODERS = {"software": "pyav-software-2", "nvdec": "pyav-nvdec-1"}  # option -> field of a cache's identity
_HEARD: dict[int, list] = {}  # of containers that are open


class VideoError(Exception):
    """This video cannot be used. The message says why, in a few words."""

    is_temporary = False  # whether it may be of use another time, with the same file


class PassingError(VideoError):
    """This video cannot be used now: the machine could not read its file, or the file is another one by now."""

    is_temporary = True


class SignClock:
    """Says when a sign of life is due."""

    def __init__(self):
        self._last = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < SECONDS_PER_SIGN:
            return False
        self._last = now
        return True


@contextlib.contextmanager
def opened(path: Path, decoder: str, known: KnownStream | None = None, is_probed: bool = True):
    """(container, stream) of the video stream to use; errors of FFmpeg and of the system as VideoError.

    decoder: a key of DECODERS. One that cannot decode this video does not give way to another.
    known: what an earlier opening of this file found. FFmpeg then decodes no frames to find it again, and gives no
    packets of other streams; a file that is another one now is opened as if nothing were known.
    is_probed: where it is not, a file whose headers may not tell all is a VideoError, too.
    """
    try:
        with capture_log() as heard:
            container, stream = (None, None) if known is None else reopened(path, known, OPEN_OPTIONS)
            if not is_probed:
                container = unprobed(path, OPEN_OPTIONS)
                if container is None:
                    raise VideoError("its headers do not tell all of it")
            if container is None:
                container = av.open(str(path), options=OPEN_OPTIONS, hwaccel=_acceleration(decoder))
        with container:
            stream = pick_track(container) if stream is None else stream
            if stream is None:
                kinds = ["a cover picture" if found.type == "video" else found.type for found in container.streams]
                raise VideoError(no_stream(Path(path), kinds))
            context = stream.codec_context
            if context is None:
                raise VideoError("its codec is unknown")
            check_size(context.width, context.height)
            stream.thread_type = "NONE"
            context.thread_count = 1
            context.options = {"max_pixels": str(MAX_PIXELS)}
            _HEARD[id(container)] = list(heard)
            try:
                yield container, stream
            finally:
                del _HEARD[id(container)]
    except (av.error.InvalidDataError, av.error.ArgumentError, av.error.EOFError) as error:
        raise VideoError(f"it cannot be read ({unreadable(Path(path), error.strerror)})") from error
    except av.error.FFmpegError as error:
        raise VideoError(f"it cannot be read ({error.strerror})") from error
    except (OSError, ValueError) as error:
        raise VideoError(f"it cannot be opened ({error})") from error


def heard_while_opening(container) -> list[tuple[int, str, str]]:
    """(level, name, text) of what FFmpeg said while it opened this container, where it reads some packets ahead."""
    return _HEARD.get(id(container), [])


def check_decoder(decoder: str) -> None:
    """DecoderError where this machine does not have the decoder."""
    if decoder != "software":
        try:
            _acceleration(decoder).create(av.Codec("h264", "r"))
        except (av.error.FFmpegError, OSError, ValueError, NotImplementedError) as error:
            raise DecoderError(
                f"--decoder {decoder} cannot be used on this machine ({error}); use --decoder software"
            ) from error


def _acceleration(decoder: str) -> HWAccel | None:
    return HWAccel("cuda", allow_software_fallback=False) if decoder == "nvdec" else None


def check_size(width: int, height: int) -> None:
    """VideoError where a frame would be too large to be one of a video."""
    if width * height > MAX_PIXELS:
        raise VideoError(f"a frame of {width}x{height} is larger than {MAX_PIXELS} pixels")


def packets_of(container, stream, errors: list[str] | None = None) -> Iterator[av.Packet]:
    """The packets of the stream in decoding order, up to where the container cannot be read further.

    errors: why it could not is appended here.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except av.error.FFmpegError as error:
            if errors is not None:
                errors.append(error.strerror)
            return
        except (StopIteration, IndexError):  # PyAV stumbles at the end where streams came up that no header listed
            return
        if packet.size:
            yield packet
