"""Videos that benchmarks decode: 1080p footage with a swaying camera, a moving object and sensor noise, made once."""

from fractions import Fraction
from pathlib import Path

import av
import click
import numpy as np
from PIL import Image

HEIGHT, WIDTH, RATE = 1080, 1920, 30
X264 = {"preset": "veryfast", "crf": "23"}
KINDS = {  # name -> (file, codec, seconds, GOP, options)
    "h264, 7 flat B-frames": (
        "flat7.mp4",
        "libx264",
        64,
        160,
        X264 | {"bf": "7", "x264-params": "b-pyramid=none:b-adapt=0"},
    ),
    "h264, 3 flat B-frames": (
        "flat3.mp4",
        "libx264",
        64,
        160,
        X264 | {"bf": "3", "x264-params": "b-pyramid=none:b-adapt=0"},
    ),
    "h264, x264's defaults": ("default.mp4", "libx264", 64, 250, {}),
    "hevc, x265 fast": ("hevc.mp4", "libx265", 24, 160, {"preset": "fast", "x265-params": "log-level=none"}),
    "hevc, x265's defaults": ("hevc-default.mp4", "libx265", 24, 250, {"x265-params": "log-level=none"}),
    "vp9, libvpx": ("vp9.webm", "libvpx-vp9", 24, 160, {"deadline": "realtime", "cpu-used": "7", "b": "4000000"}),
    "av1, SVT": ("av1.mp4", "libsvtav1", 24, 160, {"preset": "11"}),
}


def footage(folder: Path, kind: str) -> Path:
    """The video of this kind in the folder, made if it is not there."""
    name, codec, seconds, gop, options = KINDS[kind]
    path = folder / name
    if not path.exists():
        click.echo(f"making {path}", err=True)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished-{name}")
        _write(unfinished, codec, seconds, gop, options)
        unfinished.rename(path)
    return path


def repeated(path: Path, seconds: int) -> Path:
    """A video of this length that shows the given one over and over, without encoding anything again."""
    longer = path.with_name(f"{path.stem}-{seconds}s{path.suffix}")
    if longer.exists():
        return longer
    unfinished = longer.with_name(f"unfinished-{longer.name}")
    with av.open(str(path)) as source, av.open(str(unfinished), "w") as out:
        template = source.streams.video[0]
        stream = out.add_stream_from_template(template)
        packets = [packet for packet in source.demux(template) if packet.size]
        length = template.duration
        copies = round(seconds / float(length * template.time_base))
        timestamps = [(packet.pts, packet.dts) for packet in packets]
        for copy in range(copies):
            for packet, (pts, dts) in zip(packets, timestamps, strict=True):
                packet.pts, packet.dts, packet.stream = pts + copy * length, dts + copy * length, stream
                packet.time_base = template.time_base
                out.mux(packet)
    unfinished.rename(longer)
    return longer


def smaller(path: Path, kind: str, height: int) -> Path:
    """The footage of this kind in the same codec with fewer lines, made if it is not there."""
    _, codec, _, gop, options = KINDS[kind]
    reduced = path.with_name(f"{path.stem}-{height}{path.suffix}")
    if reduced.exists():
        return reduced
    click.echo(f"making {reduced}", err=True)
    unfinished = path.with_name(f"unfinished-{reduced.name}")
    with av.open(str(path)) as source, av.open(str(unfinished), "w") as out:
        stream = out.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = round(WIDTH * height / HEIGHT), height, "yuv420p"
        stream.codec_context.gop_size, stream.options = gop, options
        for frame in source.decode(video=0):
            out.mux(stream.encode(frame.reformat(stream.width, stream.height)))
        out.mux(stream.encode(None))
    unfinished.rename(reduced)
    return reduced


def _write(path: Path, codec: str, seconds: int, gop: int, options: dict) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size, stream.options = gop, options
        for number, image in enumerate(_images(seconds * RATE)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _images(count: int):
    """(1080, 1920, 3) uint8 frames: a window that sways over a textured scene, a square that circles, noise."""
    generator = np.random.default_rng(0)
    scene, thing = _texture(generator, HEIGHT + 200, WIDTH + 300), _texture(generator, 300, 300)
    noise = [generator.integers(-2, 3, (HEIGHT, WIDTH, 1), dtype=np.int16) for _ in range(8)]
    for number in range(count):
        t = number / RATE
        x, y = int(150 + 140 * np.sin(0.45 * t)), int(100 + 90 * np.cos(0.3 * t))
        image = scene[y : y + HEIGHT, x : x + WIDTH].copy()
        left, top = (
            int((WIDTH - 300) * (0.5 + 0.4 * np.sin(0.8 * t))),
            int((HEIGHT - 300) * (0.6 + 0.3 * np.cos(0.6 * t))),
        )
        image[top : top + 300, left : left + 300] = thing
        yield np.clip(image + noise[number % 8], 0, 255).astype(np.uint8)


def _texture(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Colored noise of many sizes, (height, width, 3) uint8."""
    image = np.zeros((height, width, 3), np.float32)
    for size in (4, 8, 16, 32, 64, 128):
        for channel in range(3):
            coarse = Image.fromarray(generator.random((height // size + 2, width // size + 2)).astype(np.float32))
            image[:, :, channel] += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) * size**0.5
    image -= image.min()
    return (image * (255 / image.max())).astype(np.uint8)
