"""Videos whose picture changes in mid-stream, and display matrices written over those of a file."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 220, 30), (20, 30, 220), (235, 235, 235)
RATE, PART_FRAMES = 10, 10  # frames per second, frames of a part: one second
ONE, UNIT_W = 1 << 16, 1 << 30  # 1.0 in a display matrix, in its last column


def quarters(size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3): red and green above, blue and white below."""
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return image


def write_part(path: Path, size: tuple[int, int], codec: str = "libx264", aspect=Fraction(1), **settings) -> Path:
    """One second of quarters(size). settings: pix_fmt, options of the encoder, bsf: a filter over its packets."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *size, settings.get("pix_fmt", "yuv420p")
        stream.codec_context.sample_aspect_ratio, stream.codec_context.thread_count = aspect, 1
        crf = {"crf": "10"} if codec in ("libx264", "libx265") else {}
        stream.options = crf | settings.get("options", {})
        filtered = BitStreamFilterContext(settings["bsf"], stream) if "bsf" in settings else None
        for number in [*range(PART_FRAMES), None]:
            frame = None
            if number is not None:
                frame = av.VideoFrame.from_ndarray(quarters(size), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, RATE)
            for packet in stream.encode(frame):
                out.mux(filtered.filter(packet) if filtered else packet)
    return path


def splice(path: Path, *parts: Path) -> Path:
    """One stream of the packets of several files, one second each, as they are."""
    with av.open(str(path), "w") as out:
        stream = None
        for number, part in enumerate(parts):
            with av.open(str(part)) as source:
                template = source.streams.video[0]
                stream = stream or out.add_stream_from_template(template)
                first = None
                for packet in source.demux(template):
                    if packet.dts is None:
                        continue
                    first = packet.pts if first is None else first  # the key frame's
                    shift = round(number * PART_FRAMES / RATE / packet.time_base) - first
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    out.mux(packet)
    return path


def patch_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write the four numbers that turn and scale into the track's display matrix of an MP4."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", data, start)[::4] == (ONE, ONE, UNIT_W)
    struct.pack_into(">9i", data, start, a, b, 0, c, d, 0, 0, 0, UNIT_W)
    path.write_bytes(data)
    return path
