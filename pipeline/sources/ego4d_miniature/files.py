"""Encodes the mp4 files of a miniature: canonical videos, their small versions, and clips."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.files.partial_files import partial_path, publish
from embedonce.pipeline.sources.ego4d_miniature.frames import blank_frame, numbered_frame, stereo_frame
from embedonce.pipeline.sources.ego4d_miniature.plan import FPS, SIZES, TICKS, ClipPlan, Plan, VideoPlan

_ENCODER = {"crf": "26", "preset": "superfast", "g": "30", "bf": "2"}


def files_of(plan: Plan, layout: str) -> dict[str, VideoPlan | ClipPlan]:
    """The video or clip in each file of v2/<layout>, by the name of the file."""
    contents: Iterable[VideoPlan | ClipPlan] = plan.clips.values() if layout == "clips" else plan.videos.values()
    return {f"{content.uid}.mp4": content for content in contents if _shown_frames(content)}


def write_file(path: Path, content: VideoPlan | ClipPlan, layout: str) -> None:
    """Encode one file, which gets its name when it is complete. The times of a clip's file begin at 0."""
    video = content.video if isinstance(content, ClipPlan) else content
    first_pts = 0 if content is not video else video.start_pts
    images = (_image(video, number, layout) for number in _shown_frames(content))
    try:
        _encode(partial_path(path), images, _size(video, layout), first_pts)
    except av.FFmpegError as error:
        raise PipelineError(f"cannot encode {path}: {error.strerror or error}") from error
    publish(path)


def _shown_frames(content: VideoPlan | ClipPlan) -> range:
    """The canonical numbers of the frames in a file."""
    return content.file_frames if isinstance(content, ClipPlan) else range(content.file_frames)


def _image(video: VideoPlan, number: int, layout: str) -> np.ndarray:
    height, eye_width = SIZES[layout]
    start, end = video.redacted_frames or (0, 0)
    if start <= number < end:
        return blank_frame(*_size(video, layout))
    return (stereo_frame if video.is_stereo else numbered_frame)(number, height, eye_width, sum(video.role.encode()))


def _size(video: VideoPlan, layout: str) -> tuple[int, int]:
    """(height, width) of a frame; a stereo one has two eyes side by side."""
    height, eye_width = SIZES[layout]
    return height, eye_width * (1 + video.is_stereo)


def _encode(path: Path, images: Iterable[np.ndarray], size: tuple[int, int], first_pts: int) -> None:
    """Encode H.264 with B-frames on one thread, so that equal images give equal bytes. size: (height, width)."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options=_ENCODER)
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for frame in _timed(images, first_pts):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _timed(images: Iterable[np.ndarray], first_pts: int) -> Iterator[av.VideoFrame]:
    for i, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = first_pts + i * TICKS // FPS, Fraction(1, TICKS)
        yield frame
