"""Small real videos for tests, with the number of each frame burnt into its pixels."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 10


def numbered_frame(number: int, height: int = 64, width: int = 160) -> np.ndarray:
    """(height, width, 3) uint8: the number as black and white vertical bars, most significant bit first."""
    bits = [(number >> (BITS - 1 - i)) & 1 for i in range(BITS)]
    columns = np.repeat(np.array(bits, np.uint8) * 255, width // BITS)
    return np.ascontiguousarray(np.broadcast_to(columns[None, :, None], (height, width, 3)))


def read_number(image: np.ndarray) -> int:
    """The number in a frame, or in any resized form of it."""
    middle = image[image.shape[0] // 2, :, 1]
    positions = ((np.arange(BITS) + 0.5) * image.shape[1] / BITS).astype(int)
    return int("".join("1" if middle[p] > 127 else "0" for p in positions), 2)


def write_video(path: Path, num_frames: int, **settings) -> Path:
    """A video of numbered frames. settings: rate, ticks, codec, gop, b_frames, pts, size, rotation."""
    rate, time_base = settings.get("rate", 30), Fraction(1, settings.get("ticks", 15360))
    height, width = settings.get("size", (64, 160))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(settings.get("codec", "libx264"), rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = settings.get("gop", 12)
        stream.options = {"bf": str(settings.get("b_frames", 2)), "crf": "18", "preset": "veryfast"}
        if "rotation" in settings:
            stream.set_display_rotation(settings["rotation"])
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, height, width), format="rgb24")
            default = round(number / (rate * time_base))
            frame.pts = settings["pts"][number] if "pts" in settings else default
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
