"""Decoding one video in a worker process: its requested frames become rows of canonical JPEGs and teacher crops.

Must never load torch, since each worker process imports it.
"""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from embedonce.pipeline.extraction.task_checks import check_readable, checked, limit_cpu_time
from embedonce.pipeline.extraction.upright import PlannedShape, UprightFrames
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.images.requested_images import RequestedImages
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.sources.content_identity import fingerprint, whole_fingerprint
from embedonce.pipeline.sources.source import VideoPath
from embedonce.pipeline.video.container import TemporaryError, VideoError
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.skipping import PackedPlan

ROWS_PER_MESSAGE = 8
MESSAGE_BYTES = 4_000_000  # of crops: a message with as many has no further row
SHARED_BYTES = 16 << 20  # of memory that a decode process shares with its parent, at most
ALL_SHARED_BYTES = 512 << 20  # of all decode processes together
CHANGED = "its file was changed after it was planned; run the same command again to extract the new file"
DECODE_LIMIT_SEC = 300.0  # CPU time per video,
DECODE_LIMIT_PER_SEC = 60.0  # plus this per second of video


@dataclass(frozen=True)
class DecodeTask:
    """Decode these frames of one video and make rows of them.

    decoder, frame_index, pts, by_order, views, fingerprint: as in cache.plan.PlannedVideo and PlannedSegment; an empty
    fingerprint is not compared. crop_size: side of the teacher's input in pixels. plan: as in Scan. piece, pieces: a
    long video may be decoded in pieces, of which this is one. first_row: of the piece, among the rows of the video.
    """

    uid: str
    path: VideoPath
    decoder: str
    frame_index: np.ndarray
    pts: np.ndarray
    by_order: bool
    shape: PlannedShape
    jpeg_quality: int
    views: np.ndarray
    crop_size: int
    duration_sec: float
    fingerprint: str = ""
    plan: PackedPlan | None = None
    piece: int = 0
    pieces: int = 1
    first_row: int = 0


@dataclass(frozen=True)
class Row:
    """Requested frame i of the video: its canonical JPEG, its crops (1+K, S, S, 3) uint8, and their (1+K,) CRC-32."""

    i: int
    jpeg: bytes
    crops: np.ndarray
    crop_crc32: np.ndarray


@dataclass(frozen=True)
class Reshaped:
    """Requested frame i of the video was decoded, but its upright shape differs from the one planned for the video."""

    i: int


@dataclass(frozen=True)
class Remark:
    """An observation about a video made while decoding it, to be logged and recorded."""

    text: str


@dataclass(frozen=True)
class DecodeMode:
    """How the requested frames of a video were decoded: `skipping`, or `whole (…)` with the reason. For the record."""

    text: str


@dataclass(frozen=True)
class NoneDecoded:
    """No frame of this piece can be decoded. complaint: the decoder's own message."""

    complaint: str | None


DecodeMessage = list[Row] | Reshaped | Remark | DecodeMode | NoneDecoded


def shared_bytes_of(workers: int) -> int:
    """Bytes of memory that each of so many decode processes shares with its parent, for rows on their way."""
    return min(SHARED_BYTES, ALL_SHARED_BYTES // workers)


def decode_video(task: DecodeTask) -> Iterator[DecodeMessage]:
    """Yields the DecodeMode, again if it changes, and rows in time order, a few at a time.

    An empty list is a heartbeat. A frame without a row because of its shape is reported as Reshaped, before the rows of
    later frames. VideoError if the video cannot be used, which one piece of several without a row does not show;
    TemporaryError if its file cannot be read now, or is not the one that was planned.
    """
    task = replace(task, path=checked(task.path))
    try:
        yield from _decode(task)
    except TemporaryError:
        raise
    except VideoError:
        yield from check_readable(task.path, [])
        raise


def timed_decode(task: DecodeTask) -> Iterator[tuple[list[int], float, float]]:
    """Yields (sizes of the JPEGs in bytes, seconds, seconds of processor time) for each group of rows of decode_video,
    for an estimate."""
    start, cpu_start = time.perf_counter(), time.process_time()
    for message in decode_video(task):
        if isinstance(message, list):
            yield [len(row.jpeg) for row in message], time.perf_counter() - start, time.process_time() - cpu_start
            start, cpu_start = time.perf_counter(), time.process_time()


def _decode(task: DecodeTask) -> Iterator[DecodeMessage]:
    _check_unchanged(task)
    frames = _requested(task)
    last_rows = yield from _rows(task, frames)
    if frames.num_found < len(task.pts):
        yield from check_readable(task.path, [])
    if frames.num_found == 0 and len(task.pts):
        if task.pieces == 1:
            raise VideoError(none_decoded(len(task.pts), frames.complaint))
        yield NoneDecoded(frames.complaint)
    if isinstance(frames, RequestedImages) and frames.num_found < len(task.pts):
        lost = len(task.pts) - frames.num_found
        yield Remark(f"{lost} of its {len(task.pts)} requested images cannot be decoded, such as {frames.complaint}")
    _check_unchanged(task)
    yield last_rows


def _requested(task: DecodeTask) -> RequestedFrames | RequestedImages:
    if isinstance(task.path, ImageSequence):
        return RequestedImages(task.path, task.pts)
    return RequestedFrames(task.path, task.frame_index, task.pts, task.by_order, task.decoder, task.plan)


def _rows(task: DecodeTask, frames: RequestedFrames | RequestedImages) -> Generator[DecodeMessage, None, list[Row]]:
    """The messages of decode_video, but for the last rows, which are returned."""
    upright = UprightFrames(task.shape, task.jpeg_quality)
    rows: list[Row] = []
    mode = frames.way  # nothing is decoded yet
    limit_sec = DECODE_LIMIT_SEC + DECODE_LIMIT_PER_SEC * task.duration_sec
    for numbered_frame in limit_cpu_time((item for item in frames), limit_sec):
        if frames.way != mode:
            mode = frames.way
            yield DecodeMode(mode)
        if numbered_frame is None:
            yield []
            continue
        i, frame = numbered_frame
        jpeg = upright(frame, frames.orientation, _describe_time(task, i, frame.time_base))
        while upright.remarks:
            yield Remark(upright.remarks.pop(0))
        if jpeg is None:
            yield Reshaped(task.first_row + i)
            continue
        crops = canonical_frame.replay(jpeg, task.views, task.crop_size)
        rows.append(Row(task.first_row + i, jpeg, crops, canonical_frame.crc32(crops)))
        if len(rows) == ROWS_PER_MESSAGE or len(rows) * crops.nbytes >= MESSAGE_BYTES:
            yield rows
            rows = []
    return rows


def none_decoded(count: int, complaint: str | None = None) -> str:
    """The reason of a video without any decoded frame. complaint: the decoder's own message."""
    message = f" (decoder message: {complaint.strip()})" if complaint else ""
    return f"none of its {count} requested frames can be decoded{message}"


def _describe_time(task: DecodeTask, i: int, time_base: Fraction | None) -> str:
    """When requested frame i is shown, for a message."""
    return f"{float(int(task.pts[i]) * time_base):.3f} s" if time_base else f"frame {task.frame_index[i]}"


def _check_unchanged(task: DecodeTask) -> None:
    """TemporaryError if the file is not the one that was planned: rows of two files must not form one video."""
    current = fingerprint(task.path) if task.fingerprint else ""
    if current and current != task.fingerprint != whole_fingerprint(task.path):
        raise TemporaryError(CHANGED)
