"""What a decode process does with one video: scan it, or turn its wanted frames into rows.

Runs in a process of its own, spawned light: it never loads torch. Knows no teacher and no cache folder.
"""

import dataclasses
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from embedonce.pipeline.extraction.upright import PlannedShape, UprightFrames
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.sampling_times import Grid, Requests, request_frames
from embedonce.pipeline.sources.content_identity import fingerprint, read_whole, whole_fingerprint
from embedonce.pipeline.video.container import PassingError, VideoError
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.scanning import announced_end_sec, read_timeline
from embedonce.pipeline.video.skipping import PackedPlan, plan_feed
from embedonce.pipeline.video.timeline import Timeline, left_half

ROWS_PER_MESSAGE = 8
CHANGED = "its file was changed after it was planned; run again to extract it as it is now"
SCAN_LIMIT_SEC = 1800.0  # of computing, whatever the video
DECODE_LIMIT_SEC, DECODE_LIMIT_PER_SEC = 300.0, 60.0  # of computing: at all, and per second of video


@dataclass(frozen=True)
class ScanTask:
    """Find out which frames answer the grid of one video."""

    uid: str
    path: Path
    grid: Grid
    decoder: str
    left_eye: bool = False


@dataclass(frozen=True)
class Scan:
    """The answer: the video's timeline without its lists of frames, its requests, and what decoding them needs."""

    timeline: Timeline
    num_frames: int
    first_pts: int
    requests: Requests
    plan: PackedPlan | None = None


@dataclass(frozen=True)
class DecodeTask:
    """Decode these frames and make rows of them. Fields as in cache.schema.PlannedVideo; plan: as in Scan."""

    uid: str
    path: Path
    decoder: str
    frame_index: np.ndarray
    pts: np.ndarray
    by_order: bool
    shape: PlannedShape
    jpeg_quality: int
    views: np.ndarray
    crop_size: int
    duration_sec: float
    fingerprint: str = ""  # of the file that was planned; empty: not compared
    plan: PackedPlan | None = None  # what the scan found that these frames need


@dataclass(frozen=True)
class Row:
    """Wanted frame i: its canonical JPEG, the crops a teacher sees, (1+K, S, S, 3) uint8, and their (1+K,) CRC-32."""

    i: int
    jpeg: bytes
    crops: np.ndarray
    crop_crc32: np.ndarray


@dataclass(frozen=True)
class Reshaped:
    """Wanted frame i is there, and its upright shape is not the one that the video's rows have."""

    i: int


@dataclass(frozen=True)
class Remark:
    """Something noticed while decoding a video, to be told and recorded."""

    text: str


@dataclass(frozen=True)
class DecodeMode:
    """How the wanted frames of a video were decoded, for the record."""

    text: str


@dataclass(frozen=True)
class LengthTask:
    """Find out when a video ends by its header."""

    uid: str
    path: Path


def read_length(task: LengthTask) -> Iterator[float | None]:
    """Yields the seconds at which the video ends by its header; None where that does not say."""
    yield announced_end_sec(task.path)


def scan_video(task: ScanTask) -> Iterator[Scan | None]:
    """Yields None now and then as a sign of life, and one Scan at last. VideoError where the video is of no use.

    PassingError where the machine cannot read the file.
    """
    try:
        yield from _scanned(task)
    except VideoError:
        yield from _check_readable(task.path, None)
        raise


def _scanned(task: ScanTask) -> Iterator[Scan | None]:
    timeline = yield from _limited(read_timeline(task.path, task.decoder), SCAN_LIMIT_SEC)
    if task.grid.fps is None and timeline.by_order:
        raise VideoError(
            "its timestamps do not identify its frames, so that its key frames cannot be told; use --sampling fps"
        )
    if timeline.is_partial:
        yield from _check_readable(task.path, None)
    if task.left_eye:
        timeline = left_half(timeline)
    times = (timeline.pts, timeline.key_pts, timeline.time_base, timeline.end_sec, timeline.holes)
    requests = request_frames(task.grid, *times)
    canonical_frame.canonical_size(
        *timeline.upright_size, short_side=256
    )  # refuses endless strips before they are planned
    bare = dataclasses.replace(timeline, pts=timeline.pts[:0], key_pts=timeline.key_pts[:0], holes=None, index=None)
    yield Scan(bare, len(timeline.pts), int(timeline.pts[0]), requests, _packed_plan(timeline, requests))


def _packed_plan(timeline: Timeline, requests: Requests) -> PackedPlan | None:
    """What must be decoded of a video, where the packets' own timestamps tell its frames apart."""
    index = timeline.index
    if not len(requests.pts) or timeline.by_order or index is None or not index.has_own_times:
        return None
    return PackedPlan.of(plan_feed(index, requests.pts))


def decode_video(task: DecodeTask) -> Iterator[list[Row] | Reshaped | Remark | DecodeMode]:
    """Yields the Way, again if it changes, and rows in time order, a few at a time; an empty list is a sign of life.

    A frame that gives no row because of its shape is told as Reshaped, before the rows of later frames; what was
    noticed, as Remark. VideoError where the video is of no use; PassingError where the machine cannot read the file,
    or it is another one than was planned.
    """
    try:
        yield from _decoded(task)
    except VideoError:
        yield from _check_readable(task.path, [])
        raise


def _decoded(task: DecodeTask) -> Iterator[list[Row] | Reshaped | Remark | DecodeMode]:
    _check_content(task)
    wanted = RequestedFrames(task.path, task.frame_index, task.pts, task.by_order, task.decoder, task.plan)
    upright = UprightFrames(task.shape, task.jpeg_quality)
    rows: list[Row] = []
    way = None
    for found in _limited(iter(wanted), DECODE_LIMIT_SEC + DECODE_LIMIT_PER_SEC * task.duration_sec):
        if wanted.way != way:
            way = wanted.way
            yield DecodeMode(way)
        if found is None:
            yield []
            continue
        i, frame = found
        jpeg = upright(frame, wanted.orientation, _when(task, i, frame.time_base))
        while upright.remarks:
            yield Remark(upright.remarks.pop(0))
        if jpeg is None:
            yield Reshaped(i)
            continue
        crops = canonical_frame.replay(jpeg, task.views, task.crop_size)
        rows.append(Row(i, jpeg, crops, canonical_frame.crc32(crops)))
        if len(rows) == ROWS_PER_MESSAGE:
            yield rows
            rows = []
    if wanted.num_found < len(task.pts):
        yield from _check_readable(task.path, [])
    if wanted.num_found == 0 and len(task.pts):
        raise VideoError(_none_decoded(len(task.pts), wanted.complaint))
    _check_content(task)
    yield rows


def _when(task: DecodeTask, i: int, time_base: Fraction | None) -> str:
    """When wanted frame i is shown, in words."""
    return f"{float(int(task.pts[i]) * time_base):.3f} s" if time_base else f"frame {task.frame_index[i]}"


def _check_content(task: DecodeTask) -> None:
    """PassingError where the file is another one than was planned: rows of two files would be one video's."""
    found = fingerprint(task.path) if task.fingerprint else ""
    if found and found != task.fingerprint != whole_fingerprint(task.path):
        raise PassingError(CHANGED)


def _check_readable(path: Path, sign) -> Iterator:
    """Yields a sign of life now and then. PassingError where the machine cannot read the file, which is no damage."""
    try:
        for _ in read_whole(path):
            yield sign
    except OSError as error:
        raise PassingError(
            f"its file cannot be read now ({error.strerror}): mend that and run the same command again"
        ) from error


def _none_decoded(count: int, complaint: str | None) -> str:
    said = f" (its decoder says: {complaint.strip()})" if complaint else ""
    return f"none of its {count} wanted frames can be decoded{said}"


def timed_decode(task: DecodeTask) -> Iterator[tuple[list[int], float]]:
    """Yields (bytes of the JPEGs, seconds) of the rows as decode_video makes them, for an estimate."""
    start = time.perf_counter()
    for message in decode_video(task):
        if isinstance(message, list):
            yield [len(row.jpeg) for row in message], time.perf_counter() - start
            start = time.perf_counter()


def _limited(values: Iterator, limit_sec: float) -> Generator:
    """The values, and what they return, while they take no more computing: waiting for others does not count."""
    start = time.process_time()
    while True:
        try:
            value = next(values)
        except StopIteration as end:
            return end.value
        if time.process_time() - start > limit_sec:
            raise VideoError(f"decoding it took more than {limit_sec:.0f} s of computing")
        yield value


__all__ = [
    "DecodeMode",
    "DecodeTask",
    "Row",
    "Scan",
    "ScanTask",
    "VideoError",
    "decode_video",
    "scan_video",
    "timed_decode",
]
