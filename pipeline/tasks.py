"""What a decode process does with one video: scan it, or turn its wanted frames into rows.

Runs in a process of its own, spawned light: it never loads torch. Knows no teacher and no cache folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import pixels
from pipeline.decode import Timeline, VideoError, read_timeline, wanted_frames
from pipeline.sampling import Requests, request_frames

ROWS_PER_MESSAGE = 8


@dataclass(frozen=True)
class ScanTask:
    """Find out which frames answer the grid of one video. windows: [start, end) seconds, or None for all of it."""

    uid: str
    path: Path
    fps: float
    windows: tuple[tuple[float, float], ...] | None


@dataclass(frozen=True)
class Scan:
    """The answer: the video's timeline without its list of frames, and its requests."""

    timeline: Timeline
    num_frames: int
    first_pts: int
    requests: Requests


@dataclass(frozen=True)
class DecodeTask:
    """Decode these frames and make rows of them. Fields as in cache.schema.PlannedVideo."""

    uid: str
    path: Path
    frame_index: np.ndarray
    pts: np.ndarray
    by_order: bool
    rotation: int
    canonical_size: tuple[int, int]
    jpeg_quality: int
    views: np.ndarray
    crop_size: int


@dataclass(frozen=True)
class Row:
    """Wanted frame i: its canonical JPEG and the crops a teacher sees, (1+K, S, S, 3) uint8."""

    i: int
    jpeg: bytes
    crops: np.ndarray


def scan_video(task: ScanTask) -> Iterator[Scan]:
    """Yields one Scan. VideoError where the video cannot be used."""
    timeline = read_timeline(task.path)
    requests = request_frames(timeline.pts, timeline.time_base, timeline.end_sec, task.fps, task.windows)
    pixels.canonical_size(*timeline.upright_size, short_side=256)  # refuses endless strips before they are planned
    bare = Timeline(**{**timeline.__dict__, "pts": timeline.pts[:0]})
    yield Scan(bare, len(timeline.pts), int(timeline.pts[0]), requests)


def decode_video(task: DecodeTask) -> Iterator[list[Row]]:
    """Yields rows in time order, a few at a time; an empty list is a sign of life."""
    rows: list[Row] = []
    for i, rgb in wanted_frames(task.path, task.frame_index, task.pts, task.by_order):
        if rgb is None:
            yield []
            continue
        jpeg = pixels.encode_canonical(rgb, task.rotation, task.canonical_size, task.jpeg_quality)
        image = pixels.decode_jpeg(jpeg)
        rows.append(Row(i, jpeg, np.stack([pixels.crop(image, view, task.crop_size) for view in task.views])))
        if len(rows) == ROWS_PER_MESSAGE:
            yield rows
            rows = []
    if rows:
        yield rows


__all__ = ["DecodeTask", "Row", "Scan", "ScanTask", "VideoError", "decode_video", "scan_video"]
