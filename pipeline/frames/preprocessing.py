"""How frames become inputs of a student: what a checkpoint and an export carry with them. Data and arithmetic only."""

from dataclasses import dataclass
from statistics import median

import numpy as np

from embedonce.cache.labels import LabelSet
from embedonce.cache.schema import INTERPOLATIONS, CacheIdentity
from embedonce.pipeline.frames.views import evaluation_box

INPUT = "uint8 RGB, (N, 3, resolution, resolution); scaling and normalization are in the graph"
TIMES = "seconds since the clip's start of the time that a frame was taken for"
CROPS = {"shortest": "center square", "squash": "none"}  # resize mode of a teacher -> crop


@dataclass(frozen=True)
class Preprocessing:
    """How frames become inputs. crop: "center square" or "none". frames_per_second: None if only key frames were used.

    resolution, canonical_short_side: pixels. clip_seconds: duration of a typical clip. crop_fraction: of the sides of
    the crop, what is kept around its center.
    """

    input: str
    resolution: int
    crop: str
    interpolation: str
    canonical_short_side: int
    frames_per_second: float | None
    jpeg_quality: int
    clip_seconds: float
    t_rel_sec: str
    crop_fraction: float = 1.0

    def view(self, size: tuple[int, int]) -> np.ndarray:
        """(6,) int32, as the views of a cache: the evaluation crop of a canonical frame of size (height, width)."""
        mode = next(mode for mode, crop in CROPS.items() if crop == self.crop)
        box = evaluation_box(size, mode, self.crop_fraction)
        return np.array([*box, 0, INTERPOLATIONS[self.interpolation]], np.int32)


def clip_seconds(labels: LabelSet) -> float:
    """The median duration of the training clips, or of all clips if there are none for training."""
    training = [clip for clip in labels.clips if clip.split == "train"]
    return round(median(clip.end_sec - clip.start_sec for clip in training or labels.clips), 3)


def preprocessing_of(identity: CacheIdentity, resolution: int, seconds: float) -> Preprocessing:
    """The preparation of a student trained from this cache. resolution: pixels. seconds: of a typical clip."""
    teacher = identity.teacher
    return Preprocessing(
        input=INPUT,
        resolution=resolution,
        crop=CROPS[teacher.resize_mode],
        interpolation=teacher.interpolation,
        canonical_short_side=identity.canonical_short_side,
        frames_per_second=identity.fps,
        jpeg_quality=identity.jpeg_quality,
        clip_seconds=seconds,
        t_rel_sec=TIMES,
        crop_fraction=teacher.crop_fraction,
    )
