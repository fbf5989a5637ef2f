"""How to recognize a video stream when its file is opened again. Plain data; imports no FFmpeg."""

import zlib
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# Demuxers of containers whose headers list all streams and whose packets have timestamps, for all codecs
MOV, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
MAX_DEPTH = 16  # largest reorder depth of a decoder, in frames


@dataclass(frozen=True)
class KnownStream:
    """A video stream as the first opening found it.

    format: name of the demuxer. index: of the stream. size: (height, width). reorder_depth: number of frames that the
    decoder holds back to reorder them. extradata_crc32: CRC-32 of the codec parameters.
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
        """Describe a newly opened stream; None if its container cannot be reopened by this alone."""
        name, context = stream.container.format.name, stream.codec_context
        if name not in (MOV, MATROSKA) or context.is_hwaccel:
            return None
        return cls(name, stream.index, *_described(stream), context.reorder_depth, _crc32(context))

    def fits(self, stream) -> bool:
        """Whether this stream has the same headers as the known one."""
        if stream.type != "video" or stream.codec_context is None:
            return False
        described = (self.codec, self.size, self.time_base)
        return _described(stream) == described and _crc32(stream.codec_context) == self.extradata_crc32


def reorder_depth_of(pts: np.ndarray) -> int:
    """Number of frames that a decoder must hold back to output them by pts. pts: (n,) int64 in decoding order."""
    ranks = np.empty(len(pts), np.int64)
    ranks[np.argsort(pts, kind="stable")] = np.arange(len(pts))
    return int((np.arange(len(pts)) - ranks).max(initial=0))


def _described(stream) -> tuple[str, tuple[int, int], Fraction]:
    context = stream.codec_context
    return context.name, (context.height, context.width), stream.time_base


def _crc32(context) -> int:
    return zlib.crc32(bytes(context.extradata or b""))
