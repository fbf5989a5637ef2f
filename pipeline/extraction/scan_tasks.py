"""Scanning one video in a worker process: its timeline, and which frames answer the requested times.

Must never load torch, since each worker process imports it.
"""

import dataclasses
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from embedonce.pipeline.extraction.plan_tasks import plan_of
from embedonce.pipeline.extraction.snap_saving import SnapSaving, is_decoded_completely, saving_of, snap_points
from embedonce.pipeline.extraction.task_checks import check_readable, checked, limit_cpu_time
from embedonce.pipeline.frames.canonical_frame import canonical_size
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.frames.sampling_times import Requests, request_frames
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.images.timeline import read_image_timeline
from embedonce.pipeline.sources.source import VideoPath
from embedonce.pipeline.video.announced_length import PARTIAL_SEC
from embedonce.pipeline.video.container import TemporaryError, VideoError
from embedonce.pipeline.video.scanning import announced_end_sec, read_timeline
from embedonce.pipeline.video.skipping import PackedPlan
from embedonce.pipeline.video.timeline import Timeline, left_half

SCAN_LIMIT_SEC = 1800.0  # CPU time per video
NOTHING_TO_SNAP = "it is decoded completely: key frames would save nothing, so each time gets the frame shown then"
ANY_SHORT_SIDE = 256  # pixels; canonical_size refuses extreme aspect ratios whatever the short side is


@dataclass(frozen=True)
class ScanTask:
    """Find the frames of one video that answer a grid of requested times."""

    uid: str
    path: VideoPath
    grid: Grid
    decoder: str
    left_eye: bool = False


@dataclass(frozen=True)
class Scan:
    """The result of a ScanTask.

    timeline: without its arrays of frames. first_pts: in ticks of the timeline's time base. plan: which packets must be
    decoded; None if all of them. saving: of a grid with snap_sec.
    """

    timeline: Timeline
    num_frames: int
    first_pts: int
    requests: Requests
    plan: PackedPlan | None = None
    saving: SnapSaving | None = None


@dataclass(frozen=True)
class LengthTask:
    """Find out when a video ends according to its header."""

    uid: str
    path: VideoPath


def ends_early(end_sec: float, expected_end_sec: float) -> bool:
    """Whether a video ends before its expected end, by more than the tolerance."""
    return end_sec < expected_end_sec - PARTIAL_SEC


def read_length(task: LengthTask) -> Iterator[float | None]:
    """Yields the end of the video in seconds according to its header; None if the header does not contain it."""
    yield announced_end_sec(task.path)


def scan_video(task: ScanTask) -> Iterator[Scan | None]:
    """Yields None now and then as a heartbeat, and finally one Scan.

    VideoError if the video cannot be used; TemporaryError if this machine cannot read its file now.
    """
    task = dataclasses.replace(task, path=checked(task.path))
    try:
        yield from _scan(task)
    except TemporaryError:
        raise
    except VideoError:
        yield from check_readable(task.path, None)
        raise


def _scan(task: ScanTask) -> Iterator[Scan | None]:
    timeline = yield from limit_cpu_time(_reading(task), SCAN_LIMIT_SEC)
    if task.grid.fps is None and timeline.by_order:
        raise VideoError(
            "its packet timestamps do not identify its frames, so its key frames cannot be located; use --sampling fps"
        )
    if timeline.is_partial:
        yield from check_readable(task.path, None)
    if task.left_eye:
        timeline = left_half(timeline)
    timeline, requests, saving = _requested(timeline, task.grid)
    canonical_size(*timeline.upright_size, ANY_SHORT_SIDE)  # refuses extreme aspect ratios before they are planned
    bare = dataclasses.replace(timeline, pts=timeline.pts[:0], key_pts=timeline.key_pts[:0], holes=None, index=None)
    plan = plan_of(task.path, timeline, requests.pts)
    yield Scan(bare, len(timeline.pts), int(timeline.pts[0]), requests, plan, saving)


def _reading(task: ScanTask) -> Generator[None, None, Timeline]:
    if isinstance(task.path, ImageSequence):
        return read_image_timeline(task.path)
    return read_timeline(task.path, task.decoder)


def _requested(timeline: Timeline, grid: Grid) -> tuple[Timeline, Requests, SnapSaving | None]:
    """(the timeline, with a note if it has no key frames to snap to, the requests, what snapping saves)."""
    times = (timeline.time_base, timeline.end_sec, timeline.holes)
    if grid.snap_sec is None:
        return timeline, request_frames(grid, timeline.pts, timeline.key_pts, *times), None
    requests = request_frames(grid, timeline.pts, snap_points(timeline), *times)
    if is_decoded_completely(timeline):
        timeline = dataclasses.replace(timeline, notes=(*timeline.notes, NOTHING_TO_SNAP))
    return timeline, requests, saving_of(timeline, grid, requests)
