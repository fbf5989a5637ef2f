"""What a video holds and when each of its frames is shown, before more than its first frame was decoded."""

import dataclasses
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.geometry import SQUARE, upright_size
from embedonce.pipeline.video.orientation import UPRIGHT, Orientation
from embedonce.pipeline.video.packets import PacketIndex


@dataclass(frozen=True)
class Timeline:
    """What a video holds.

    pts: (n,) int64, non-decreasing; of frames with equal pts the last is shown. key_pts: (m,) int64, increasing, those
    at which decoding can begin. by_order: the packets' pts do not tell frames apart, so that these are known by their
    order. size: (height, width) of the decoded frame; sample_aspect: width over height of one pixel, as the container
    has it where it has one; rotation, mirrored: as in Orientation; coded_aspect: the pixel aspect of the frame itself.
    All of these are those of the first frame. end_sec: when the last frame ceases to be shown. holes: (h, 2) int64
    ticks [start, end), increasing: times whose frames the file has lost. index: what was read of the packets, as long
    as it is not sent elsewhere. is_partial: it ends before its header says.
    """

    codec: str
    size: tuple[int, int]
    sample_aspect: Fraction
    rotation: int
    time_base: tuple[int, int]
    pts: np.ndarray
    key_pts: np.ndarray
    end_sec: float
    by_order: bool
    notes: tuple[str, ...]
    holes: np.ndarray | None = None
    mirrored: bool = False
    coded_aspect: Fraction = SQUARE
    index: PacketIndex | None = field(default=None, compare=False, repr=False)
    is_partial: bool = False

    @property
    def orientation(self) -> Orientation:
        return Orientation(self.rotation, self.mirrored)

    @property
    def upright_size(self) -> tuple[float, float]:
        """(height, width) with square pixels, after rotation."""
        return upright_size(self.size, self.sample_aspect, self.orientation)


def left_half(timeline: Timeline) -> Timeline:
    """The timeline of the left half of the frames, of a video that holds two eyes side by side."""
    if timeline.orientation != UPRIGHT:
        raise VideoError(f"it is stereo and {timeline.orientation}: which half is the left eye is unknown")
    height, width = timeline.size
    notes = (*timeline.notes, "stereo: the left eye is used")
    return dataclasses.replace(timeline, size=(height, width // 2), notes=notes)
