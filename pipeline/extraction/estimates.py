"""What an extraction will take, from a few of its frames: bytes on disk, seconds of decoding.

Decodes in processes of its own, like extraction; writes nothing.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.models.teachers.shape import shape_of
from embedonce.pipeline.engines.engine import EngineOptions, TaskResult
from embedonce.pipeline.engines.registry import make_engine
from embedonce.pipeline.extraction.identity import usual_short_side
from embedonce.pipeline.extraction.planning import Scanned
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.extraction.video_tasks import DecodeTask, Scan, timed_decode
from embedonce.pipeline.frames.views import evaluation_box
from embedonce.pipeline.sources.source import Source

PLACES, FRAMES_AT_A_PLACE = 16, 8  # looked at: spread evenly over all wanted frames of all videos
FEW_FRAMES, USUAL_BYTES = 1000, 60_000  # of a job too small to look ahead for, and of a frame of it
USUAL_INPUT, USUAL_DIM = 224, 768  # of a teacher whose configuration is not known
OVERHEAD_BYTES = {"hdf5": 400, "webdataset": 4000}  # of a row: keys, times and requests; headers of three members
BYTES_OF_LOGIT = 4


@dataclass(frozen=True)
class Estimate:
    """frames still to extract; bytes_per_frame on disk; decode_sec: of one process for one frame."""

    frames: int
    bytes_per_frame: float
    decode_sec: float

    @property
    def num_bytes(self) -> int:
        return round(self.frames * self.bytes_per_frame)


@dataclass(frozen=True)
class Pending:
    """Rows that were planned before and are not committed; bytes_per_row: of those that are, None where none is."""

    rows: int = 0
    bytes_per_row: float | None = None


def estimate(config: ExtractConfig, source: Source, scanned: Scanned, pending: Pending, always: bool) -> Estimate:
    """For the frames of the scanned videos and those that were planned before.

    always: look at some frames even where there are so few in all that a guess will do.
    """
    new = sum(len(scan.requests.frame_index) for scan in scanned.scans.values())
    frames = pending.rows + new
    if frames < FEW_FRAMES and not always:
        return Estimate(frames, USUAL_BYTES, 0.0)
    sizes, seconds = _looked_at(config, source, scanned)
    beside = bytes_beside(config, len(source.classes) if config.teacher_head != "none" else 0)
    of_new = (float(np.mean(sizes)) if sizes else USUAL_BYTES) + beside
    of_pending = of_new if sizes or pending.bytes_per_row is None else pending.bytes_per_row
    per_frame = (new * of_new + pending.rows * of_pending) / max(frames, 1)
    return Estimate(frames, per_frame, seconds / max(len(sizes), 1))


def bytes_beside(config: ExtractConfig, num_classes: int) -> int:
    """What a row takes besides its JPEG: embeddings, checksums, logits, and what says which row it is."""
    _, dim = shape_of(config.model) or (USUAL_INPUT, USUAL_DIM)
    return OVERHEAD_BYTES[config.backend] + (1 + config.views) * (2 * dim + 4 + BYTES_OF_LOGIT * num_classes)


def _looked_at(config: ExtractConfig, source: Source, scanned: Scanned) -> tuple[list[int], float]:
    """(bytes of the JPEGs of some frames, seconds that decoding them took)."""
    sizes, seconds = [], 0.0
    options = EngineOptions(config.num_decode_workers, config.video_timeout)
    for event in make_engine(config.engine, timed_decode, options).run(_tasks(config, source, scanned)):
        if isinstance(event, TaskResult):
            jpegs, taken = event.value
            sizes += jpegs
            seconds += taken
    return sizes, seconds


def places(counts: dict[str, int]) -> dict[str, np.ndarray]:
    """uid -> wanted frames (by position) to look at, given how many each video has: a video counts by its frames."""
    total = sum(counts.values())
    firsts = np.unique(((np.arange(PLACES) + 0.5) * total / PLACES).astype(int)) if total else np.zeros(0, int)
    bounds = np.cumsum([0, *counts.values()])
    owners = np.searchsorted(bounds, firsts, side="right") - 1
    found: dict[str, set[int]] = {}
    for first, owner in zip(firsts - bounds[owners], owners, strict=True):
        uid = list(counts)[owner]
        stop = min(first + FRAMES_AT_A_PLACE, counts[uid])
        found.setdefault(uid, set()).update(range(max(0, stop - FRAMES_AT_A_PLACE), stop))
    return {uid: np.array(sorted(rows)) for uid, rows in found.items()}


def _tasks(config: ExtractConfig, source: Source, scanned: Scanned) -> list[DecodeTask]:
    videos = {video.uid: video for video in source.videos}
    counts = {uid: len(scan.requests.frame_index) for uid, scan in scanned.scans.items()}
    chosen = places({uid: count for uid, count in counts.items() if count})
    return [_task(config, videos[uid], scanned.scans[uid], rows) for uid, rows in chosen.items()]


def _task(config: ExtractConfig, video, scan: Scan, rows: np.ndarray) -> DecodeTask:
    side, _ = shape_of(config.model) or (USUAL_INPUT, USUAL_DIM)
    timeline, requests = scan.timeline, scan.requests
    short_side = config.canonical_short_side or usual_short_side(side)
    shape = planned_shape(timeline, short_side, video.left_eye)
    views = np.array([(*evaluation_box(shape.canonical_size), 0, 3)] * (1 + config.views), np.int32)
    frames = (requests.frame_index[rows], requests.pts[rows], timeline.by_order)
    looks = (shape, config.jpeg_quality, views, side)
    return DecodeTask(video.uid, video.path, config.decoder, *frames, *looks, timeline.end_sec)
