"""Opening files without FFmpeg's probing, which decodes up to twenty frames: by headers, or by an earlier opening."""

from pathlib import Path

import av
from av.stream import Discard

from embedonce.pipeline.video.known_stream import MATROSKA, MOV, KnownStream

SIGNATURES = {b"ftyp": (MOV, slice(4, 8)), b"\x1a\x45\xdf\xa3": (MATROSKA, slice(0, 4))}  # and where these stand
TELLING = {"h264", "hevc", "vp8", "vp9"}  # codecs whose first frame tells what probing finds, and headers the rest
UNPROBED = {"probesize": "32", "codec_whitelist": "none"}  # of the demuxer: read no further, open no decoder


def reopen(path: Path, known: KnownStream, options: dict[str, str]) -> tuple:
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


def open_unprobed(path: Path, options: dict[str, str]):
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


def _is_told(stream) -> bool:
    context = stream.codec_context
    return (
        context is not None and context.name in TELLING and context.width * context.height > 0
    ) and stream.average_rate is not None
