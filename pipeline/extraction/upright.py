"""Converts decoded frames to upright canonical JPEGs, each frame by its own geometry.

The canonical frames of a video have one size, planned from its first frame. A frame with another size, pixel aspect or
orientation is converted by its own geometry, and skipped if it would have to be squashed to fit.
"""

from dataclasses import dataclass
from fractions import Fraction

from embedonce.cache.plan import PlannedVideo
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.video.color import Scaler
from embedonce.pipeline.video.geometry import SQUARE, AspectReader, Geometry, upright_size
from embedonce.pipeline.video.orientation import UPRIGHT, Orientation
from embedonce.pipeline.video.timeline import Timeline

MAX_REMARKS = 8  # about changes of the geometry, per video


@dataclass(frozen=True)
class PlannedShape:
    """The shape for which a video's canonical frames were planned.

    canonical_size: (height, width). geometry: of the first frame; of its left half if left_eye. sample_aspect: width
    over height of a pixel, from the container if it states one, else from the frame.
    """

    canonical_size: tuple[int, int]
    geometry: Geometry
    sample_aspect: Fraction
    left_eye: bool = False

    def own_size(self, geometry: Geometry) -> tuple[int, int] | None:
        """(height, width) of the canonical form of a frame with this geometry; None if that is undefined.

        It is undefined if the frames state a new pixel aspect and the container contradicted the old one, and if it is
        unknown which half is the left eye.
        """
        aspect = geometry.coded_aspect
        if aspect == self.geometry.coded_aspect:
            aspect = self.sample_aspect
        elif self.sample_aspect != self.geometry.coded_aspect:
            return None
        if self.left_eye and geometry.orientation != UPRIGHT:
            return None
        try:
            upright = upright_size(geometry.size, aspect, geometry.orientation)
            return canonical_frame.canonical_size(*upright, short_side=min(self.canonical_size))
        except ValueError:
            return None


def planned_shape(timeline: Timeline, short_side: int, left_eye: bool = False) -> PlannedShape:
    """The shape of a scanned video, for this short side in pixels. ValueError for extreme aspect ratios."""
    size = canonical_frame.canonical_size(*timeline.upright_size, short_side=short_side)
    geometry = Geometry(timeline.size, timeline.coded_aspect, timeline.orientation)
    return PlannedShape(size, geometry, timeline.sample_aspect, left_eye)


def shape_of(video: PlannedVideo) -> PlannedShape:
    """The shape for which a video was planned."""
    geometry = Geometry(video.decoded_size, Fraction(*video.coded_aspect), Orientation(video.rotation, video.mirrored))
    return PlannedShape(video.canonical_size, geometry, Fraction(*video.sample_aspect), video.left_eye)


class UprightFrames:
    """Converts the frames of one video to canonical JPEGs. remarks: observations that nobody has taken yet."""

    def __init__(self, planned: PlannedShape, quality: int):
        self._planned, self._quality, self._scale, self._aspect = planned, quality, Scaler(), AspectReader()
        self._seen: set[Geometry] = {planned.geometry}
        self.remarks: list[str] = []

    def __call__(self, frame, orientation: Orientation, when: str) -> bytes | None:
        """The upright form of an av.VideoFrame as JPEG; None if it does not have the planned shape.

        when: the time of the frame, for a remark.
        """
        planned = self._planned
        width = frame.width // 2 if planned.left_eye else frame.width
        geometry = Geometry((frame.height, width), self._aspect(frame) or SQUARE, orientation)
        fits = planned.own_size(geometry) == planned.canonical_size
        if geometry not in self._seen and len(self._seen) <= MAX_REMARKS:
            self._seen.add(geometry)
            self.remarks.append(self._remark(geometry, when, fits))
        if not fits:
            return None
        size = canonical_frame.before_rotation(planned.canonical_size, orientation.rotation)
        image = self._scale(frame, size, planned.left_eye)
        return canonical_frame.encode_canonical(image, orientation.rotation, self._quality, orientation.mirrored)

    def _remark(self, geometry: Geometry, when: str, fits: bool) -> str:
        outcome = "same upright shape" if fits else "another upright shape: these times are skipped as `reshaped`"
        return f"its frames change at {when} from {self._planned.geometry} to {geometry} ({outcome})"
