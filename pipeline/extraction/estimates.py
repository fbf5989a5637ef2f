"""Estimates of what an extraction will need, from a few of its frames: bytes on disk and seconds of decoding.

Decodes through the engine, as extraction does; writes nothing.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.cache.backends.registry import BACKENDS
from embedonce.pipeline.engines.engine import EngineOptions, TaskResult
from embedonce.pipeline.engines.registry import make_engine
from embedonce.pipeline.extraction.decode_tasks import DecodeTask, timed_decode
from embedonce.pipeline.extraction.identity import default_short_side
from embedonce.pipeline.extraction.scan_tasks import Scan
from embedonce.pipeline.extraction.scanning import ScanResults
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames.views import evaluation_box
from embedonce.pipeline.sources.source import Source, Video
from embedonce.pipeline.teachers.registry import loader_of

NUM_SAMPLES = 16  # stretches of frames to decode, spread evenly over all requested frames of all videos
FRAMES_PER_SAMPLE = 8
SMALL_JOB_FRAMES = 1000  # with fewer, nothing is decoded for the estimate and DEFAULT_ROW_BYTES is assumed
DEFAULT_ROW_BYTES = 60_000
DEFAULT_INPUT_SIZE = 224  # of a teacher whose configuration is not known
DEFAULT_EMBED_DIM = 768
CRC_BYTES = 4  # per view
EMBEDDING_BYTES = 2  # per dimension


@dataclass(frozen=True)
class Estimate:
    """frames: still to extract. bytes_per_frame: on disk, without logits. decode_sec: for one frame, in one process;
    decode_cpu_sec: of processor time. label_bytes: of all label sets that will be written or extended.
    """

    frames: int
    bytes_per_frame: float
    decode_sec: float
    label_bytes: int = 0
    decode_cpu_sec: float = 0.0

    @property
    def num_bytes(self) -> int:
        return round(self.frames * self.bytes_per_frame) + self.label_bytes


@dataclass(frozen=True)
class Pending:
    """Rows of an existing plan that are not committed. bytes_per_row: of committed rows; None if there are none."""

    rows: int = 0
    bytes_per_row: float | None = None


def estimate(
    config: ExtractConfig, source: Source, scanned: ScanResults, pending: Pending, calibrated: bool, share: float = 1.0
) -> Estimate:
    """Estimate the frames of the new videos and the pending rows.

    calibrated: decode some frames even if there are so few in all that defaults will do. share: of the new videos, in
    bytes, that were scanned: the others are assumed to have as many frames per byte.
    """
    new = round(sum(len(scan.requests.frame_index) for scan in scanned.scans.values()) / share)
    frames = pending.rows + new
    if frames < SMALL_JOB_FRAMES and not calibrated:
        return Estimate(frames, DEFAULT_ROW_BYTES, 0.0)
    sizes, seconds, cpu_seconds = _decode_samples(config, source, scanned)
    new_bytes = (float(np.mean(sizes)) if sizes else DEFAULT_ROW_BYTES) + overhead_bytes_per_row(config)
    pending_bytes = new_bytes if sizes or pending.bytes_per_row is None else pending.bytes_per_row
    per_frame = (new * new_bytes + pending.rows * pending_bytes) / max(frames, 1)
    count = max(len(sizes), 1)
    return Estimate(frames, per_frame, seconds / count, decode_cpu_sec=cpu_seconds / count)


def embed_dim(config: ExtractConfig) -> int:
    """The width of the teacher's embeddings; a common one if its configuration is not known."""
    return (loader_of(config.model).shape(config.model) or (DEFAULT_INPUT_SIZE, DEFAULT_EMBED_DIM))[1]


def overhead_bytes_per_row(config: ExtractConfig) -> int:
    """Bytes of a row of frames without its JPEG: embeddings, checksums, keys and times."""
    per_view = EMBEDDING_BYTES * embed_dim(config) + CRC_BYTES
    return BACKENDS[config.backend].row_overhead_bytes + (1 + config.views) * per_view


def sample_positions(counts: dict[str, int]) -> dict[str, np.ndarray]:
    """uid -> positions of the frames to decode, among the requested frames of the video.

    counts: uid -> number of requested frames. A video is sampled in proportion to it.
    """
    total = sum(counts.values())
    firsts = np.zeros(0, int)
    if total:
        firsts = np.unique(((np.arange(NUM_SAMPLES) + 0.5) * total / NUM_SAMPLES).astype(int))
    bounds = np.cumsum([0, *counts.values()])
    owners = np.searchsorted(bounds, firsts, side="right") - 1
    positions: dict[str, set[int]] = {}
    for first, owner in zip(firsts - bounds[owners], owners, strict=True):
        uid = list(counts)[owner]
        stop = min(first + FRAMES_PER_SAMPLE, counts[uid])
        positions.setdefault(uid, set()).update(range(max(0, stop - FRAMES_PER_SAMPLE), stop))
    return {uid: np.array(sorted(rows)) for uid, rows in positions.items()}


def _decode_samples(config: ExtractConfig, source: Source, scanned: ScanResults) -> tuple[list[int], float, float]:
    """(sizes of some frames as JPEG, in bytes; seconds that decoding them took; seconds of processor time)."""
    sizes: list[int] = []
    seconds = cpu_seconds = 0.0
    options = EngineOptions(config.num_decode_workers, config.video_timeout)
    for event in make_engine(config.engine, timed_decode, options).run(_tasks(config, source, scanned)):
        if isinstance(event, TaskResult):
            jpeg_sizes, elapsed_sec, cpu_sec = event.value
            sizes += jpeg_sizes
            seconds += elapsed_sec
            cpu_seconds += cpu_sec
    return sizes, seconds, cpu_seconds


def _tasks(config: ExtractConfig, source: Source, scanned: ScanResults) -> list[DecodeTask]:
    videos = {video.uid: video for video in source.videos}
    counts = {uid: len(scan.requests.frame_index) for uid, scan in scanned.scans.items()}
    positions = sample_positions({uid: count for uid, count in counts.items() if count})
    return [_task(config, videos[uid], scanned.scans[uid], rows) for uid, rows in positions.items()]


def _task(config: ExtractConfig, video: Video, scan: Scan, rows: np.ndarray) -> DecodeTask:
    input_size, _ = loader_of(config.model).shape(config.model) or (DEFAULT_INPUT_SIZE, DEFAULT_EMBED_DIM)
    short_side = config.canonical_short_side or default_short_side(input_size)
    shape = planned_shape(scan.timeline, short_side, video.left_eye)
    return DecodeTask(
        uid=video.uid,
        path=video.path,
        decoder=config.decoder,
        frame_index=scan.requests.frame_index[rows],
        pts=scan.requests.pts[rows],
        by_order=scan.timeline.by_order,
        shape=shape,
        jpeg_quality=config.jpeg_quality,
        views=np.array([(*evaluation_box(shape.canonical_size), 0, 3)] * (1 + config.views), np.int32),
        crop_size=input_size,
        duration_sec=scan.timeline.end_sec,
    )
