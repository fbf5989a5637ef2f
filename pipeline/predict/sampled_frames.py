"""The frames of a source that a student sees, as its sources yield them, and those of video files.

Files are decoded exactly as extraction decodes them: each sampling time gets the frame shown then, and a frame that
cannot be decoded is never replaced by another one.
"""

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames.grid import EVERYTHING, Grid
from embedonce.pipeline.frames.preprocessing import Preprocessing
from embedonce.pipeline.frames.sampling_times import Requests, request_frames
from embedonce.pipeline.predict.frame_images import FrameImages
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.location import VideoLocation
from embedonce.pipeline.video.scanning import read_timeline
from embedonce.pipeline.video.timeline import Timeline

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sampled:
    """A frame and the sampling times that it answers, in seconds; image: (3, R, R) uint8, None if it was lost.

    arrived: of live sources, when it was received, by time.monotonic().
    """

    times: tuple[float, ...]
    image: np.ndarray | None
    arrived: float | None = None


@dataclass(frozen=True)
class End:
    """The end of a source, in seconds; yielded last."""

    time: float


def file_frames(
    path: VideoLocation, preprocessing: Preprocessing, fps: float | None, max_seconds: float | None = None
) -> Iterator[Sampled | End]:
    """The sampled frames of a video file, in order of time.

    fps: times per second; None: the key frames. max_seconds: of the video, from its first frame on. VideoError if it
    has no frame that can be decoded.
    """
    timeline = _finished(read_timeline(path))
    first = float(timeline.pts[0]) * timeline.time_base[0] / timeline.time_base[1]
    end = timeline.end_sec if max_seconds is None else min(timeline.end_sec, first + max_seconds)
    requests = _requests(timeline, Grid(fps, EVERYTHING if max_seconds is None else ((first, end),)))
    try:
        images = FrameImages(planned_shape(timeline, preprocessing.canonical_short_side), preprocessing)
    except ValueError as error:
        raise VideoError(str(error)) from error
    times = _times(timeline, requests, fps, first)
    found = RequestedFrames(path, requests.frame_index, requests.pts, timeline.by_order)
    yield from _in_order(_images(found, images, path), requests.row, times)
    for note in timeline.notes:
        log.warning("%s: %s", path, note)
    if found.num_found == 0:
        raise VideoError(f"none of its {len(requests.pts)} sampled frames can be decoded")
    if found.num_found < len(requests.pts):
        lost = len(requests.pts) - found.num_found
        log.warning("%s: %d of its %d sampled frames cannot be decoded", path, lost, len(requests.pts))
    yield End(end)


def _finished(steps: Generator[None, None, Timeline]) -> Timeline:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _requests(timeline: Timeline, grid: Grid) -> Requests:
    times = (timeline.pts, timeline.key_pts, timeline.time_base, timeline.end_sec, timeline.holes)
    try:
        return request_frames(grid, *times)
    except ValueError as error:
        raise VideoError(str(error)) from error


def _times(timeline: Timeline, requests: Requests, fps: float | None, first: float) -> np.ndarray:
    """(m,) float64 seconds of the requests."""
    tick = timeline.time_base[0] / timeline.time_base[1]
    return first + requests.k / np.float64(fps) if fps else first + requests.k * tick


def _images(found: RequestedFrames, prepare: FrameImages, path: VideoLocation) -> Iterator[tuple[int, np.ndarray]]:
    for numbered in found:
        if numbered is None:
            continue
        i, frame = numbered
        image = prepare(frame, found.orientation, f"frame {i}")
        while prepare.remarks:
            log.warning("%s: %s", path, prepare.remarks.pop(0))
        if image is not None:
            yield i, image


def _in_order(images: Iterator[tuple[int, np.ndarray]], row: np.ndarray, times: np.ndarray) -> Iterator[Sampled]:
    """row: (m,) of each request, its frame, or a negative number if it has none; times: (m,) seconds."""
    by_frame, done = np.argsort(row, kind="stable"), 0
    frames = row[by_frame]
    for i, image in images:
        places = by_frame[slice(*np.searchsorted(frames, (i, i + 1)))]
        if places[0] > done:
            yield Sampled(tuple(times[done : places[0]].tolist()), None)
        done = int(places[-1]) + 1
        yield Sampled(tuple(times[places].tolist()), image)
    if done < len(times):
        yield Sampled(tuple(times[done:].tolist()), None)
