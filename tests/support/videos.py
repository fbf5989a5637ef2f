"""Small real videos for tests, with the number of each frame burnt into its pixels."""

import contextlib
import hashlib
import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from embedonce.pipeline.extraction.snap_saving import snap_points
from embedonce.pipeline.frames.grid import EVERYTHING, Grid
from embedonce.pipeline.frames.sampling_times import Requests, request_frames
from embedonce.pipeline.sources.ego4d_miniature.frames import numbered_frame
from embedonce.pipeline.video.color import Scaler
from embedonce.pipeline.video.container import open_video, packets_of
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.scanning import read_timeline
from embedonce.pipeline.video.timeline import Timeline
from tests.support.generators import returned


def write_video(path: Path, num_frames: int, **settings) -> Path:
    """A video of numbered frames, whose title is its place: no two files hold the same bytes.

    settings: rate, ticks, codec, gop, b_frames, pts, size, rotation, pix_fmt, options, aspect, color_range.
    """
    rate, time_base = settings.get("rate", 30), Fraction(1, settings.get("ticks", 15360))
    height, width = settings.get("size", (64, 160))
    with av.open(str(path), "w", options=settings.get("mux", {})) as container:
        container.metadata["title"] = "/".join(path.parts[-3:])
        stream = container.add_stream(settings.get("codec", "libx264"), rate=rate)
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = width, height, settings.get("pix_fmt", "yuv420p")
        stream.time_base = context.time_base = time_base
        context.thread_count = 1
        context.gop_size = settings.get("gop", 12)
        if context.name in ("libx264", "libx265"):
            stream.options |= {"crf": "18", "preset": "veryfast", "x265-params": "log-level=none"}
        if settings.get("b_frames", 2) is not None:
            stream.options |= {"bf": str(settings.get("b_frames", 2))}
        stream.options |= settings.get("options", {})
        context.sample_aspect_ratio = settings.get("aspect", Fraction(1))
        if "color_range" in settings:
            context.color_range = settings["color_range"]
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


def write_actions(root: Path, count: int, num_frames: int) -> Path:
    """A folder with `count` videos, `0.mp4` and so on, of each of two classes: cut bread and stir pot."""
    for action in ("cut bread", "stir pot"):
        (root / action).mkdir()
        for number in range(count):
            write_video(root / action / f"{number}.mp4", num_frames)
    return root


def digest(frame: av.VideoFrame) -> str:
    """Of a frame's planes, planar or packed RGB, without the padding of its lines."""
    found = hashlib.sha256(f"{frame.format.name} {frame.width}x{frame.height}".encode())
    components = frame.format.components
    bytes_per_pixel = (1 + (components[0].bits > 8)) * (len(components) if len(frame.planes) == 1 else 1)
    for plane in frame.planes:
        lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        found.update(lines[:, : plane.width * bytes_per_pixel].tobytes())
    return found.hexdigest()


def full_decode(path: Path, hold: bool = False) -> list[tuple[int | None, str]]:
    """(pts, digest) of every frame, by the plainest loop there is over the stream that the decoder picks.

    hold: keep all frames, so that the decoder never gets memory back that has pixels of an earlier frame in it.
    """
    frames, held = [], []
    with open_video(path, "software") as (container, stream):
        for packet in itertools.chain(packets_of(container, stream), (None,)):
            with contextlib.suppress(av.error.InvalidDataError):
                for frame in stream.codec_context.decode(packet):
                    frames.append((frame.pts, digest(frame)))
                    held += [frame] if hold else []
    return frames


def timeline_of(path: Path) -> Timeline:
    """read_timeline without its signs of life."""
    return returned(read_timeline(path))


@dataclass
class Sampled:
    """What came of sampling a video: frames and their digests by row."""

    timeline: Timeline
    requests: Requests
    rgb: dict[int, np.ndarray]
    digests: dict[int, str]
    way: str
    num_fed: int


def sample(path: Path, fps: float | None, windows=EVERYTHING, snap_sec: float | None = None) -> Sampled:
    """The frames at these times, as extraction gets them."""
    timeline = timeline_of(path)
    grid = Grid(fps, windows, snap_sec=snap_sec)
    key_pts = timeline.key_pts if snap_sec is None else snap_points(timeline)
    times = (timeline.pts, key_pts, timeline.time_base, timeline.end_sec, timeline.holes)
    requests = request_frames(grid, *times)
    requested = RequestedFrames(path, requests.frame_index, requests.pts, timeline.by_order)
    sampled = Sampled(timeline, requests, {}, {}, "", 0)
    scale = Scaler()
    for found in requested:
        if found is not None:
            i, frame = found
            sampled.rgb[i], sampled.digests[i] = scale(frame), digest(frame)
    sampled.way, sampled.num_fed = requested.way, requested.num_fed
    return sampled
