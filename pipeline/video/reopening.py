"""Open files without FFmpeg's probing, which decodes up to twenty frames: by headers, or by an earlier opening."""

from av.stream import Discard

from embedonce.pipeline.video.demuxer_input import DemuxerInput, WatchedFile, open_container
from embedonce.pipeline.video.known_stream import MATROSKA, MOV, KnownStream

SIGNATURES = {b"ftyp": (MOV, slice(4, 8)), b"\x1a\x45\xdf\xa3": (MATROSKA, slice(0, 4))}  # and their positions
SELF_DESCRIBING = {"h264", "hevc", "vp8", "vp9"}  # codecs whose headers and first frame contain what probing finds
UNPROBED = {"probesize": "32", "codec_whitelist": "none"}  # demuxer options: minimal reading, no decoder


def reopen(source: DemuxerInput, known: KnownStream, options: dict[str, str]) -> tuple:
    """(container, stream) with packets of other streams discarded; (None, None) if the stream has changed.

    options: for the demuxer. FFmpeg's errors are not converted.
    """
    container = open_container(source, format=known.format, options=options | UNPROBED)
    stream = next((stream for stream in container.streams if stream.index == known.index), None)
    if stream is None or not known.fits(stream):
        container.close()
        return None, None
    for other in container.streams:
        if other.index != known.index:
            other.discard = Discard.all
    stream.codec_context.reorder_depth = known.reorder_depth
    return container, stream


def open_unprobed(source: DemuxerInput, options: dict[str, str]):
    """The container, opened by its headers alone; None if these may not contain everything that probing finds.

    Still unknown then: pixel formats, the decoder's reorder depth, and pixel aspect ratios that only frames contain.
    options: for the demuxer. FFmpeg's errors are not converted.
    """
    head = _head(source)
    name = next((name for signature, (name, at) in SIGNATURES.items() if head[at] == signature), None)
    if name is None:
        return None
    container = open_container(source, format=name, options=options | UNPROBED)
    if not all(_is_described(stream) for stream in container.streams.video):
        container.close()
        return None
    return container


def _head(source: DemuxerInput) -> bytes:
    """The first 8 bytes."""
    if isinstance(source, WatchedFile):
        source.seek(0)
        return source.read(8)
    with open(source, "rb") as file:
        return file.read(8)


def _is_described(stream) -> bool:
    context = stream.codec_context
    return (
        context is not None and context.name in SELF_DESCRIBING and context.width * context.height > 0
    ) and stream.average_rate is not None
