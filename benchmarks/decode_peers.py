"""Others that give frames of a video at even times, on one thread: PyAV, torchcodec, OpenCV, the ffmpeg command."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import click
import numpy as np

from embedonce.pipeline.video.container import open_video
from tests.support.videos import timeline_of

TORCHCODEC, OPENCV, FFMPEG = "torchcodec exact", "OpenCV", "ffmpeg command"


def full(path: Path) -> int:
    """Every frame, by PyAV, on one thread."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        return sum(1 for _ in container.decode(stream))


def torchcodec_exact(path: Path, seconds: np.ndarray) -> int:
    """The frames played at these times, as RGB of full size: resizing them is not counted."""
    from torchcodec.decoders import VideoDecoder

    with open_video(path, "software") as (_, stream):
        index = stream.index  # of several streams, the one that we use
    decoder = VideoDecoder(str(path), stream_index=index, seek_mode="exact", num_ffmpeg_threads=1)
    last = decoder.metadata.end_stream_seconds - 1e-6
    return len(decoder.get_frames_played_at(np.minimum(seconds, last).tolist()))


def opencv(path: Path, fps: float, most: float = float("inf")) -> int:
    """grab() every frame, retrieve() the requested ones, up to `most`. ValueError where there is none."""
    import cv2

    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    step, count, number = video.get(cv2.CAP_PROP_FPS) / fps, 0, 0
    while count < most and video.grab():
        if number >= count * step:
            video.retrieve()
            count += 1
        number += 1
    if not count:
        raise ValueError(f"OpenCV gives no frame of {path.name}")
    return count


def ffmpeg(path: Path, fps: float) -> None:
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-vf", f"fps={fps},format=rgb24"]
    subprocess.run([*command, "-f", "null", "-"], check=True)


def peers(path: Path, fps: float) -> dict[str, Callable]:
    """name -> call, for the peers that are there and can read this video."""
    timeline = timeline_of(path)
    first = timeline.pts[0] * timeline.time_base[0] / timeline.time_base[1]
    seconds = np.arange(first, timeline.end_sec, 1 / fps)
    found = {}
    if _runs(path, lambda: torchcodec_exact(path, seconds)):
        found[TORCHCODEC] = lambda: torchcodec_exact(path, seconds)
    if _runs(path, lambda: opencv(path, fps, most=1)):
        found[OPENCV] = lambda: opencv(path, fps)
    if shutil.which("ffmpeg"):
        found[FFMPEG] = lambda: ffmpeg(path, fps)
    return found


def _runs(path: Path, call: Callable) -> bool:
    try:
        call()
    except Exception as error:  # whatever a peer lacks, it is not here to be measured
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        click.echo(f"{path.name}: a peer is left out: {reason}", err=True)
        return False
    return True
