"""1080p videos for timing whole runs: real footage, enlarged, with sensor noise, encoded by x264, made once.

The footage is that of EMBEDONCE_VIDEOS, by default ../shared/data/videos, which is smaller; its first seconds are
repeated up to the length wanted.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import click
import numpy as np

from benchmarks.decode_real import SHARED
from benchmarks.footage import HEIGHT, RATE, WIDTH, X264, repeated

SOURCES = (
    "torchcodec__dog_eating_854132.mp4",
    "decord__flipping_a_pancake.mkv",
    "mp4ff__mp4_prog_8s.mp4",
    "mp4ff__examples_multitrack_main_1.mp4",
)
DEFAULTS = "x264's defaults"
FLAT = "7 flat B-frames"
ENCODINGS = {  # name -> folder, GOP, options of x264
    DEFAULTS: ("", None, {}),
    FLAT: ("flat", 160, X264 | {"bf": "7", "x264-params": "b-pyramid=none:b-adapt=0"}),
}
FOOTAGE = Path(os.environ.get("EMBEDONCE_VIDEOS", SHARED))
ENCODED_SEC = 20  # of each; longer videos show it over and over
NOISE = 3  # gray levels to either side


def enlarged_videos(folder: Path, seconds: int, encoding: str = DEFAULTS) -> list[Path]:
    """One video of this length for each of SOURCES, in a folder of their own. encoding: of ENCODINGS."""
    folder = folder / ENCODINGS[encoding][0]
    encoded = [_enlarged(folder, FOOTAGE / name, encoding) for name in SOURCES]
    there = folder / f"{seconds}s"
    there.mkdir(exist_ok=True)
    videos = []
    for path in encoded:
        longer = repeated(path, seconds)
        video = there / path.name
        if not video.exists():
            video.hardlink_to(longer)
        videos.append(video)
    return videos


def shortest_video(folder: Path) -> Path:
    """One second of the first of them, alone in a folder: what remains is the time to start and to end."""
    path = folder / "shortest" / "one-second.mp4"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"unfinished-{path.name}"
        _write(unfinished, FOOTAGE / SOURCES[0], 1, DEFAULTS)
        unfinished.rename(path)
    return path


def _enlarged(folder: Path, source: Path, encoding: str) -> Path:
    path = folder / f"{source.stem}.mp4"
    if not path.exists():
        click.echo(f"making {path}", err=True)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished-{path.name}")
        _write(unfinished, source, ENCODED_SEC, encoding)
        unfinished.rename(path)
    return path


def _write(path: Path, source: Path, seconds: int, encoding: str) -> None:
    _, gop, options = ENCODINGS[encoding]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if gop is not None:
            stream.codec_context.gop_size = gop
        for number, image in enumerate(_images(source, seconds * RATE)):
            frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _images(source: Path, count: int) -> Iterator[np.ndarray]:
    """(1620, 1920) uint8 frames in YUV 4:2:0, with other noise in each of eight."""
    generator = np.random.default_rng(0)
    noise = [generator.integers(-NOISE, NOISE + 1, (HEIGHT, WIDTH), dtype=np.int16) for _ in range(8)]
    for number, frame in zip(range(count), _frames_again_and_again(source), strict=False):
        image = frame.reformat(WIDTH, HEIGHT, "yuv420p", interpolation="BICUBIC").to_ndarray()
        image[:HEIGHT] = np.clip(image[:HEIGHT] + noise[number % 8], 0, 255).astype(np.uint8)
        yield image


def _frames_again_and_again(source: Path) -> Iterator[av.VideoFrame]:
    while True:
        with av.open(str(source)) as container:
            yield from container.decode(video=0)
