"""The version of FFmpeg that PyAV brings, and the video codecs that it decodes here."""

import av
from av.codec.codec import UnknownCodecError

# Names of codecs in files, and of FFmpeg's decoders for them in order of preference
DECODERS = {
    "H.264": ("h264",),
    "HEVC": ("hevc",),
    "VP8": ("vp8", "libvpx"),
    "VP9": ("vp9", "libvpx-vp9"),
    "AV1": ("libdav1d", "libaom-av1"),  # FFmpeg's own decoder of AV1 needs hardware
    "MPEG-4": ("mpeg4",),
    "MPEG-2": ("mpeg2video",),
    "MJPEG": ("mjpeg",),
    "ProRes": ("prores",),
    "DNxHD": ("dnxhd",),
    "FFV1": ("ffv1",),
}


def ffmpeg_version() -> str:
    """FFmpeg and its codec library, as PyAV brings them."""
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"{av.ffmpeg_version_info} (libavcodec {version}, of PyAV {av.__version__})"


def decodable() -> dict[str, bool]:
    """Whether each codec of DECODERS can be decoded without special hardware."""
    return {name: any(map(_exists, decoders)) for name, decoders in DECODERS.items()}


def _exists(decoder: str) -> bool:
    try:
        av.codec.Codec(decoder, "r")
    except UnknownCodecError:
        return False
    return True
