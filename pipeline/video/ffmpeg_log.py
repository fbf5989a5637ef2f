"""FFmpeg's log messages: capture them, and decide which ones mean damaged data.

Unknown messages count as damage: a good frame reported as corrupt is visible in the result, a corrupt frame reported as
good is not. The messages listed here leave every pixel as it is. Whether a frame could be decoded is judged by the
decoder's output as well.
"""

import contextlib
import re
from collections.abc import Iterator

import av.logging

# Metadata next to the pictures, as FFmpeg's decoders name it in messages at WARNING or ERROR.
METADATA_MESSAGES = re.compile(
    r"\bSEI\b|pic_timing|buffering period"  # supplemental enhancement information of H.264 and HEVC
    r"|\bVUI\b|\bHRD\b|cpb_count|num_reorder_frames|time_scale|num_units_in_tick"  # usability: timing, buffers, color
    r"|\bSAR\b|aspect.ratio|default display window|[Ff]rame ?rate"
    r"|\bVPS\b"  # video parameter set: repeated in the others, or about further layers
    r"|\bDOVI\b|\bRPUs?\b|Dolby Vision|T\.?35|[Mm]etadata OBU|\bmastering|content light|closed caption"  # HDR, captions
    r"|[Mm]etadata|[Uu]ser ?data|\bICC\b|ICC_PROFILE|\b[Ee]xif|EXIF|\bAPP\d*x?\b|\bCOM\b|timecode|JFIF|Adobe"
    r"|undecodable NALU: (?:32|3[5-9]|[4-6]\d)\b"  # hevc: all but slices (below 32) and their parameters (33, 34)
    r"|[Cc]losed [Cc]aptions|[Dd]isplay orientation|[Ss]pherical|[Ss]tereo3?[Dd]? ?(?:mode|info)",
)
# Messages about the format of a stream whose pictures are intact.
HARMLESS = (
    "EOI missing, emulating",  # mjpeg: no end marker; a truncated scan is reported as "overread"
    "Found EOI before any SOF, ignoring",
    "Probably invalid unaligned padding on non-final NAL unit",
    "Current profile doesn't provide more RBSP data in PPS, skipping",
    "SPS decoding failure, trying again with the complete NAL",
    "Ignoring NAL type",  # h264: in the parameter sets, as in multiview streams
    "Increasing reorder buffer",
    "Invalid and inefficient vfw-avi packed B-frames detected",
    "Video uses a non-standard and wasteful way to store B-frames",
    "hmm, seems the headers are not complete, trying to guess time_increment_bits",
    "looks like this file was encoded with",  # mpeg4: which encoder's quirks are emulated
    "Extra padding at end of superframe",
    "deprecated pixel format used",
    "Invalid UTF-8",
)
# Messages of demuxers at WARNING or ERROR that do not mean lost data.
HARMLESS_DEMUXER_MESSAGES = re.compile(
    r"prematurely|partial file|Premature EOF"  # truncated: detected by the duration
    r"|edit list|timestamps? (?:are|is) unset|[Nn]on[- ]monoton|DTS|dts|pts has no value|duration"
    r"|codec parameters|analyzeduration|[Mm]etadata|[Tt]ag|chapter|[Aa]ttachment|[Ss]tereo|aspect|codec_tag|ID3"
    r"|Unknown entry|no index|[Ii]ndex|[Cc]ue|seek|rotation|language|granule|Packet corrupt",
)
POSITION = re.compile(r"(?:at|pos\.?) (?:\d+ \()?0x([0-9a-f]+)|Packet mismatch -?\d+ -?\d+ (\d+)", re.IGNORECASE)


def is_damage(level: int, text: str) -> bool:
    """Whether a decoder's message means that pixels of a frame are damaged.

    H.264 and MPEG-2 decoders report concealed errors only at level INFO.
    """
    if text.startswith("concealing"):
        return True
    return level <= av.logging.WARNING and not text.startswith(HARMLESS) and not METADATA_MESSAGES.search(text)


def is_data_loss(level: int, text: str) -> bool:
    """Whether a demuxer's message means that it skipped data that it could not read."""
    return level <= av.logging.ERROR and not HARMLESS_DEMUXER_MESSAGES.search(text)


def position_in_message(text: str) -> int | None:
    """The file position, in bytes, that a demuxer's message contains, or None."""
    match = POSITION.search(text)
    if not match:
        return None
    return int(match[1], 16) if match[1] else int(match[2])


@contextlib.contextmanager
def capture_log() -> Iterator[list]:
    """Yield a list that collects FFmpeg's messages in this thread: (level, decoder, text)."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.INFO)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
