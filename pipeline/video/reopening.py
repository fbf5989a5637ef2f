"""Opening files without FFmpeg's probing, which decodes up to twenty frames: by headers, or by an earlier opening."""

import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Discard

# Demuxers of containers whose headers name all streams and whose packets carry their own times, whatever the codecs are
MOV, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
SIGNATURES = {b"ftyp": (MOV, slice(4, 8)), b"\x1a\x45\xdf\xa3": (MATROSKA, slice(0, 4))}  # and where these stand
TELLING = {"h264", "hevc", "vp8", "vp9"}  # codecs whose first frame tells what probing finds, and headers the rest
MAX_DEPTH = 16  # frames that a decoder of these holds back at most
UNPROBED = {"probesize": "32", "codec_whitelist": "none"}  # of the demuxer: read no further, open no decoder


@dataclass(frozen=True)
class KnownStream:
    """A video stream as the first opening found it.

    format: name of the demuxer. index: of the stream. size: (height, width). reorder_depth: how many frames its decoder
    holds back to put them in order, as FFmpeg found by decoding some. extradata_crc32: of the decoder's parameters.
    """

    format: str
    index: int
    codec: str
    size: tuple[int, int]
    time_base: Fraction
    reorder_depth: int
    extradata_crc32: int

    @classmethod
    def of(cls, stream) -> "KnownStream | None":
        """What is known of a stream that was just opened; None where its container cannot be opened by that alone."""
        name, context = stream.container.format.name, stream.codec_context
        if name not in (MOV, MATROSKA) or context.is_hwaccel:
            return None
        return cls(name, stream.index, *_described(stream), context.reorder_depth, _crc32(context))

    def fits(self, stream) -> bool:
        """Whether the headers say of this stream what they said of the known one."""
        if stream.type != "video" or stream.codec_context is None:
            return False
        described = (self.codec, self.size, self.time_base)
        return _described(stream) == described and _crc32(stream.codec_context) == self.extradata_crc32


def reopened(path: Path, known: KnownStream, options: dict[str, str]) -> tuple:
    """(container, stream), the packets of other streams left out; (None, None) where the stream is not the known one.

    options: of the demuxer. Errors of FFmpeg are raised as they are.
    """
    container = av.open(str(path), format=known.format, options=options | UNPROBED)
    stream = next((stream for stream in container.streams if stream.index == known.index), None)
    if stream is None or not known.fits(stream):
        container.close()
        return None, None
    for other in container.streams:
        if other.index != known.index:
            other.discard = Discard.all
    stream.codec_context.reorder_depth = known.reorder_depth
    return container, stream


def unprobed(path: Path, options: dict[str, str]):
    """The container, opened by its headers alone; None where these are not known to tell all that probing finds.

    What is still missing then: formats of pixels, how many frames decoders hold back, and the shapes of pixels where
    only the frames tell them. options, errors: as for reopened().
    """
    with path.open("rb") as file:
        head = file.read(8)
    name = next((name for signature, (name, at) in SIGNATURES.items() if head[at] == signature), None)
    if name is None:
        return None
    container = av.open(str(path), format=name, options=options | UNPROBED)
    if not all(_is_told(stream) for stream in container.streams.video):
        container.close()
        return None
    return container


def held_back(pts: np.ndarray) -> int:
    """How many frames a decoder must hold back to give them in the order of these pts, (n,) in decoding order."""
    ranks = np.empty(len(pts), np.int64)
    ranks[np.argsort(pts, kind="stable")] = np.arange(len(pts))
    return int((np.arange(len(pts)) - ranks).max(initial=0))


def _is_told(stream) -> bool:
    context = stream.codec_context
    return (
        context is not None and context.name in TELLING and context.width * context.height > 0
    ) and stream.average_rate is not None


def _described(stream) -> tuple[str, tuple[int, int], Fraction]:
    context = stream.codec_context
    return context.name, (context.height, context.width), stream.time_base


def _crc32(context) -> int:
    return zlib.crc32(bytes(context.extradata or b""))
