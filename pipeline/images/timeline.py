"""The timeline of a folder of images or of one image: when each is displayed, and which times have none."""

import os
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from embedonce.pipeline.images.decoding import ImageError, decode_image
from embedonce.pipeline.images.numbering import NumberingError
from embedonce.pipeline.images.sequence import Frames, ImageSequence
from embedonce.pipeline.video.container import HeartbeatClock, TemporaryError, VideoError
from embedonce.pipeline.video.geometry import SQUARE
from embedonce.pipeline.video.orientation import Orientation
from embedonce.pipeline.video.packets import PacketIndex
from embedonce.pipeline.video.scanning import MAX_SECONDS
from embedonce.pipeline.video.timeline import Timeline

MIN_FOR_STEP = 3  # images: the distance of two numbers is no step


@dataclass(frozen=True)
class _First:
    """The first image that can be decoded. size: (height, width). complaint: about the first one that cannot, or ""."""

    size: tuple[int, int]
    orientation: Orientation
    format: str
    complaint: str


def frames_of(sequence: ImageSequence) -> Frames:
    """The images by number. VideoError if they are no video; TemporaryError if the folder cannot be read now."""
    try:
        return sequence.frames()
    except NumberingError as error:
        raise VideoError(str(error)) from error
    except OSError as error:
        raise TemporaryError(f"it cannot be read now ({error.strerror}); run the same command again") from error


def read_image_timeline(sequence: ImageSequence) -> Generator[None, None, Timeline]:
    """Yield None as a heartbeat; return the Timeline. VideoError if no image can be decoded, or as frames_of()."""
    frames = frames_of(sequence)
    pts, time_base = frames.pts, sequence.time_base
    shown_sec = float((pts[-1] - pts[0]) * time_base)
    if shown_sec > MAX_SECONDS:
        raise VideoError(
            f"the numbers of its images, {frames.names[0]} to {frames.names[-1]}, span "
            f"{shown_sec / 3600:.0f} hours at {float(sequence.rate or 0):g} images per second, more than "
            f"{MAX_SECONDS / 3600:.0f}"
        )
    first = yield from _first_decodable(frames)
    step = step_of(pts)
    holes = holes_of(pts, step)
    return Timeline(
        codec=first.format,
        size=first.size,
        sample_aspect=SQUARE,
        rotation=first.orientation.rotation,
        time_base=(time_base.numerator, time_base.denominator),
        pts=pts,
        key_pts=pts,
        end_sec=float((int(pts[-1]) + step) * time_base),
        by_order=False,
        notes=tuple(_notes(frames, step, holes, time_base, first.complaint)),
        holes=holes,
        mirrored=first.orientation.mirrored,
        index=_index(pts, step),
    )


def step_of(pts: np.ndarray) -> int:
    """Ticks from one image to the next: 1, or more if only every so many numbers have an image."""
    return int(np.gcd.reduce(np.diff(pts))) if len(pts) >= MIN_FOR_STEP else 1


def holes_of(pts: np.ndarray, step: int) -> np.ndarray:
    """(h, 2) int64 ticks [start, end): times whose images are missing."""
    is_gap = np.diff(pts) > step
    return np.stack([pts[:-1][is_gap] + step, pts[1:][is_gap]], axis=1)


def _first_decodable(frames: Frames) -> Generator[None, None, _First]:
    clock, complaint = HeartbeatClock(), ""
    for i in range(len(frames.names)):
        try:
            rgb, orientation, kind = decode_image(frames.path(i))
        except ImageError as error:
            if error.is_temporary:
                raise TemporaryError(f"it cannot be read now ({error}); run the same command again") from error
            complaint = complaint or str(error)
        else:
            return _First((rgb.shape[0], rgb.shape[1]), orientation, kind, complaint)
        if clock.is_due():
            yield None
    if len(frames.names) == 1:
        raise VideoError(f"it cannot be decoded ({complaint})")
    raise VideoError(f"none of its {len(frames.names)} images can be decoded ({complaint})")


def _notes(frames: Frames, step: int, holes: np.ndarray, time_base: Fraction, complaint: str):
    pts, names = frames.pts, frames.names
    suffixes = sorted({os.path.splitext(name)[1].lower() for name in names})
    if len(suffixes) > 1:
        yield f"its images have several formats ({', '.join(suffixes)})"
    if frames.first_number > 1:
        yield f"its first image is {names[0]}, which is displayed at {float(pts[0] * time_base):.2f} s"
    if step > 1:
        yield f"only every {step}th number has an image: each is displayed until the next one"
    if len(holes):
        count = int((holes[:, 1] - holes[:, 0]).sum()) // step
        after = names[int(np.searchsorted(pts, holes[0, 0])) - 1]
        missing = "one image is missing," if count == 1 else f"{count} images are missing, the first"
        yield f"{missing} after {after}: nothing is displayed at that time"
    if complaint:
        yield f"images that cannot be decoded, such as {complaint}"


def _index(pts: np.ndarray, step: int) -> PacketIndex:
    """The images as packets: each is a key frame that no other one depends on."""
    always, never = np.ones(len(pts), bool), np.zeros(len(pts), bool)
    return PacketIndex(
        pts=pts,
        is_key=always,
        is_hidden=never,
        is_start=always,
        droppable=always,
        in_order=always,
        fallback_reason=None,
        is_ordered=True,
        last_duration=step,
        error=None,
        has_orientations=False,
    )
