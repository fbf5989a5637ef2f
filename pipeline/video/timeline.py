"""What a video contains and when each of its frames is displayed."""

import dataclasses
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.geometry import SQUARE, upright_size
from embedonce.pipeline.video.orientation import UPRIGHT, Orientation
from embedonce.pipeline.video.packets import PacketIndex

PARTIAL_NOTE = "partial: "  # prefix of the note about a video that ends early, in plans as well


@dataclass(frozen=True)
class Timeline:
    """What a video contains, known before more than its first frame is decoded.

    pts: (n,) int64, non-decreasing; of frames with equal pts the last is displayed.
    key_pts: (m,) int64, increasing: the frames at which decoding can begin.
    by_order: packets' pts do not identify frames, which are identified by their position in output order instead.
    size: (height, width) of the decoded frame. sample_aspect: pixel aspect ratio (width / height), from the container
        if it has one. rotation, mirrored: as in Orientation. coded_aspect: pixel aspect ratio in the frame's own
        headers. All of these are of the first frame.
    end_sec: when the last frame stops being displayed.
    holes: (h, 2) int64 ticks [start, end), increasing: times whose frames are missing from the file.
    index: the packets, unless the timeline was sent to another process.
    is_partial: the video ends before its header says.
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
        """(height, width) with square pixels, upright."""
        return upright_size(self.size, self.sample_aspect, self.orientation)


def is_partial_note(note: str) -> bool:
    """Whether a note of a timeline states that the video ends early."""
    return note.startswith(PARTIAL_NOTE)


def left_half(timeline: Timeline) -> Timeline:
    """The timeline of the left half of the frames, for side-by-side stereo. VideoError if frames are not upright."""
    if timeline.orientation != UPRIGHT:
        raise VideoError(f"it is stereo and {timeline.orientation}: which half is the left eye is unknown")
    height, width = timeline.size
    notes = (*timeline.notes, "stereo: the left eye is used")
    return dataclasses.replace(timeline, size=(height, width // 2), notes=notes)
