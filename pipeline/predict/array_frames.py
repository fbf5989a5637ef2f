"""Frames in memory as a source."""

from collections.abc import Iterator, Sequence

import numpy as np

from embedonce.pipeline.frames.preprocessing import Preprocessing
from embedonce.pipeline.predict.frame_images import from_array
from embedonce.pipeline.predict.sampled_frames import End, Sampled


def checked_image(image: np.ndarray) -> np.ndarray:
    """The image. ValueError if it is not (H, W, 3) uint8."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        shape = getattr(image, "shape", type(image).__name__)
        raise ValueError(f"images must be (H, W, 3) uint8 RGB, got {shape} {getattr(image, 'dtype', '')}".rstrip())
    return image


def _are_times(seconds: np.ndarray, count: int) -> bool:
    """Whether these are `count` finite, increasing seconds."""
    return seconds.shape == (count,) and bool(np.isfinite(seconds).all() and (np.diff(seconds) > 0).all())


def array_frames(
    frames: np.ndarray, times: Sequence[float] | None, preprocessing: Preprocessing
) -> Iterator[Sampled | End]:
    """frames: (N, H, W, 3) uint8 RGB, upright. times: their (N,) seconds, increasing. ValueError for others."""
    seconds = None if times is None else np.asarray(times, np.float64)
    if seconds is None or not _are_times(seconds, len(frames)):
        raise ValueError(f"give times=: {len(frames)} increasing seconds, one for each frame")
    for second, frame in zip(seconds.tolist(), frames, strict=True):
        yield Sampled((second,), from_array(checked_image(frame), preprocessing))
    if len(seconds):
        step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
        yield End(float(seconds[-1]) + step)
