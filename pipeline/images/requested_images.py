"""Decodes the requested frames of a video whose frames are image files, and plans which images those are."""

from collections.abc import Iterator

import av
import numpy as np

from embedonce.pipeline.images.decoding import ImageError, decode_image
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.images.timeline import frames_of
from embedonce.pipeline.video.container import HeartbeatClock
from embedonce.pipeline.video.entry_points import EntryPoints
from embedonce.pipeline.video.orientation import UPRIGHT
from embedonce.pipeline.video.skipping import FeedPlan, PackedPlan

IMAGES = "as images"  # how such a video is decoded


class RequestedImages:
    """The same as RequestedFrames, for images: no others are read, and one that cannot be decoded is not yielded.

    pts: (n,) int64, increasing.
    """

    def __init__(self, sequence: ImageSequence, pts: np.ndarray):
        self._sequence, self._requested = sequence, pts
        self.way, self.num_fed, self.orientation = "nothing", 0, UPRIGHT
        self.complaint: str | None = None
        self.num_found = 0

    def __iter__(self) -> Iterator[tuple[int, av.VideoFrame] | None]:
        frames, clock = frames_of(self._sequence), HeartbeatClock()
        self.way = IMAGES
        at = np.searchsorted(frames.pts, self._requested)
        for i, position in enumerate(at.tolist()):
            if position == len(frames.pts) or frames.pts[position] != self._requested[i]:
                continue  # it was removed since it was planned
            try:
                rgb, self.orientation, _ = decode_image(frames.path(position))
            except ImageError as error:
                self.complaint = self.complaint or str(error)
            else:
                self.num_found += 1
                yield i, self._frame(rgb, int(self._requested[i]))
            self.num_fed += 1
            if clock.is_due():
                yield None

    def _frame(self, rgb: np.ndarray, pts: int) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts, frame.time_base = pts, self._sequence.time_base
        return frame


def plan_images(pts: np.ndarray, requested_pts: np.ndarray) -> PackedPlan | None:
    """Which images must be decoded, so that a long video may be cut anywhere. pts: (n,) int64 of all images.

    requested_pts: (m,) int64, increasing, m > 0. None if not all of them have an image.
    """
    packets = np.flatnonzero(np.isin(pts, requested_pts))
    if len(packets) < len(requested_pts):
        return None
    feed = np.zeros(len(pts), bool)
    feed[packets] = True
    entries = np.stack([packets, pts[packets], pts[packets], packets], axis=1)
    plan = FeedPlan(feed, np.zeros(len(pts), bool), None, has_orientations=False, is_sought=True)
    return PackedPlan.of(plan, EntryPoints(requested_pts, packets, entries))
