"""Frame rate and length that a video's headers announce. Decodes nothing."""

import re
import struct
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction

from embedonce.pipeline.video.container import HeartbeatClock, location_of, open_video, packets_of
from embedonce.pipeline.video.ffmpeg_log import capture_log
from embedonce.pipeline.video.location import VideoLocation

DEFAULT_RATE = Fraction(25)  # frames per second of a stream without a frame rate
RATES = Fraction(1, 3600), Fraction(1000)  # other rates are clock rates, not frame rates
RAW_FORMATS = {"h264", "hevc", "m4v", "mpegvideo", "obu"}  # their demuxers assume 25 if there is no rate
ONE_LENGTH_FOR_ALL = {"matroska,webm", "flv", "asf"}  # the container gives the length of its longest track
PARTIAL_SEC = 0.5  # a stream this much shorter than announced is partial
_DURATION_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # File Properties Object
_ASF_HEADER_BYTES = 65_536
_ESTIMATED = "Estimating duration from bitrate"


@dataclass(frozen=True)
class Length:
    """seconds: the announced length. is_of_all: it may be that of the longest track in the file."""

    seconds: float
    is_of_all: bool


def frame_rate(container, stream) -> tuple[Fraction, bool]:
    """(frames per second, whether it comes from the headers). For raw streams, the rate in the stream itself."""
    is_raw = container.format.name in RAW_FORMATS
    guessed = None if is_raw and stream.guessed_rate == DEFAULT_RATE else stream.guessed_rate
    candidates = (stream.codec_context.framerate if is_raw else stream.average_rate, guessed)
    rate = next((rate for rate in candidates if rate and RATES[0] <= rate <= RATES[1]), None)
    return rate or DEFAULT_RATE, rate is not None


def announced_length(container, stream) -> Length | None:
    """The length according to the headers, or None."""
    whole = container.duration / 1_000_000 if container.duration else None
    name = container.format.name
    own = float(stream.duration * stream.time_base) if stream.duration else None
    if name == "avi":  # FFmpeg shortens the duration of a truncated file, but not the number of frames
        own = max(own or 0.0, float(stream.frames * stream.time_base)) or None
    if name == "matroska,webm":
        own = _tagged_sec(stream.metadata)
        own = min(own, whole) if own and whole else None
    if name == "asf" and own is None:  # FFmpeg ignores it if the file is truncated
        own = _asf_sec(location_of(container))
    if own is not None:
        return Length(own, name in ONE_LENGTH_FOR_ALL - {"matroska,webm"})
    return Length(whole, True) if whole and name in ONE_LENGTH_FOR_ALL else None


def some_track_continues(path: VideoLocation, length: Length) -> Generator[None, None, bool]:
    """Whether another track continues to the announced end, or that end was only estimated from the file size.

    In that case the file is complete although its video is shorter, for example because the audio is longer. Yields
    None as a heartbeat. VideoError if the file cannot be opened.
    """
    clock = HeartbeatClock()
    with capture_log() as messages, open_video(path, "software") as (container, _):
        if any(_ESTIMATED in text for _, _, text in messages):
            return True
        for packet in packets_of(container, list(container.streams)):
            if packet.pts is not None and packet.pts * packet.time_base > length.seconds - PARTIAL_SEC:
                return True
            messages.clear()
            if clock.is_due():
                yield None
    return False


def _asf_sec(path: VideoLocation) -> float | None:
    """The length in the header of an ASF file; None for broadcasts or if there is none."""
    with path.open("rb") as file:
        head = file.read(_ASF_HEADER_BYTES)
    at = head.find(_ASF_PROPERTIES)
    if not 0 <= at <= len(head) - 92:
        return None
    play_100ns, _, preroll_ms, flags = struct.unpack_from("<QQQI", head, at + 64)
    seconds = play_100ns / 1e7 - preroll_ms / 1e3
    return seconds if seconds > 0 and not flags & 1 else None


def _tagged_sec(metadata: dict[str, str]) -> float | None:
    """The track length in Matroska's statistics tag, or None."""
    tag = next((value for name, value in metadata.items() if name.partition("-")[0].upper() == "DURATION"), "")
    found = _DURATION_TAG.match(tag)
    return None if found is None else 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])
