"""Decoded frames as inputs of a student, by the steps of extraction and training: JPEG, evaluation crop, resize."""

import numpy as np

from embedonce.pipeline.extraction.upright import PlannedShape, UprightFrames
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.preprocessing import Preprocessing
from embedonce.pipeline.video.color import rescaled
from embedonce.pipeline.video.orientation import Orientation


class FrameImages:
    """Prepares the frames of one video. shape: of its first frame; remarks: about later frames of another shape."""

    def __init__(self, shape: PlannedShape, preprocessing: Preprocessing):
        self._upright = UprightFrames(shape, preprocessing.jpeg_quality)
        self._view = preprocessing.view(shape.canonical_size)
        self._side, self._short_side = preprocessing.resolution, preprocessing.canonical_short_side

    @property
    def remarks(self) -> list[str]:
        return self._upright.remarks

    def __call__(self, frame, orientation: Orientation, when: str) -> np.ndarray | None:
        """An av.VideoFrame as (3, R, R) uint8; None if it does not have the shape of the first one."""
        jpeg = self._upright(frame, orientation, when)
        if jpeg is None:
            return None
        return canonical_frame.load_view(jpeg, self._view, self._side, self._short_side).transpose(2, 0, 1)


def from_array(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """An upright (H, W, 3) uint8 RGB image as (3, R, R) uint8. ValueError for extreme aspect ratios.

    It is first resized to the canonical size by swscale, as frames of a video are.
    """
    height, width = image.shape[:2]
    size = canonical_frame.canonical_size(height, width, preprocessing.canonical_short_side)
    canonical = rescaled(image, size)
    jpeg = canonical_frame.encode_canonical(canonical, 0, preprocessing.jpeg_quality)
    return canonical_frame.load_view(jpeg, preprocessing.view(size), preprocessing.resolution).transpose(2, 0, 1)
