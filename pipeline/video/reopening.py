"""Opening a file again by what its first opening found, without FFmpeg's probing: that decodes up to twenty frames."""

import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.stream import Discard

# Containers whose headers name all streams and whose packets carry their own times, whatever the codecs are
WITH_HEADERS = {"mov,mp4,m4a,3gp,3g2,mj2": "mov", "matroska,webm": "matroska"}
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
        name, context = WITH_HEADERS.get(stream.container.format.name), stream.codec_context
        if name is None or context.is_hwaccel:
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


def _described(stream) -> tuple[str, tuple[int, int], Fraction]:
    context = stream.codec_context
    return context.name, (context.height, context.width), stream.time_base


def _crc32(context) -> int:
    return zlib.crc32(bytes(context.extradata or b""))
