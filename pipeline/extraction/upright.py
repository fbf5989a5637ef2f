"""From decoded frames to upright canonical ones, each by its own geometry; knows no container and no cache.

A video's canonical frames have one size, planned from its first frame. A frame of other size, pixel aspect or
orientation is made upright by its own; where it would have to be squashed to fit, it is refused.
"""

from dataclasses import dataclass
from fractions import Fraction

from embedonce.cache.plan import PlannedVideo
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.video.color import Scaler
from embedonce.pipeline.video.geometry import SQUARE, AspectReader, Geometry, upright_size
from embedonce.pipeline.video.orientation import UPRIGHT, Orientation
from embedonce.pipeline.video.timeline import Timeline

MAX_REMARKS = 8  # about changes of one video's geometry


@dataclass(frozen=True)
class PlannedShape:
    """What a video's canonical frames were planned from.

    canonical_size: (height, width). geometry: of the first frame, of its left half where left_eye. sample_aspect: width
    over height of a pixel that was taken: the container's word where it has one, else the frame's own.
    """

    canonical_size: tuple[int, int]
    geometry: Geometry
    sample_aspect: Fraction
    left_eye: bool = False

    def own_size(self, geometry: Geometry) -> tuple[int, int] | None:
        """(height, width) of the canonical frame of a frame of this geometry; None where it has none.

        It has none where the frames say something new of their pixels and the container contradicted them before, and
        where it is unknown which half is the left eye.
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
    """The shape of a scanned video, its canonical frames having this short side. ValueError for endless strips."""
    size = canonical_frame.canonical_size(*timeline.upright_size, short_side=short_side)
    geometry = Geometry(timeline.size, timeline.coded_aspect, timeline.orientation)
    return PlannedShape(size, geometry, timeline.sample_aspect, left_eye)


def shape_of(video: PlannedVideo) -> PlannedShape:
    """The shape that a video was planned with."""
    geometry = Geometry(video.decoded_size, Fraction(*video.coded_aspect), Orientation(video.rotation, video.mirrored))
    return PlannedShape(video.canonical_size, geometry, Fraction(*video.sample_aspect), video.left_eye)


class UprightFrames:
    """Makes canonical JPEGs of the frames of one video. remarks: what was noticed on the way and is not told yet."""

    def __init__(self, planned: PlannedShape, quality: int):
        self._planned, self._quality, self._scale, self._aspect = planned, quality, Scaler(), AspectReader()
        self._told: set[Geometry] = {planned.geometry}
        self.remarks: list[str] = []

    def __call__(self, frame, orientation: Orientation, when: str) -> bytes | None:
        """The JPEG of the upright form of an av.VideoFrame; None where it does not have the planned shape.

        when: how to name the frame's time where it is remarked on.
        """
        planned = self._planned
        width = frame.width // 2 if planned.left_eye else frame.width
        geometry = Geometry((frame.height, width), self._aspect(frame) or SQUARE, orientation)
        fits = planned.own_size(geometry) == planned.canonical_size
        if geometry not in self._told and len(self._told) <= MAX_REMARKS:
            self._told.add(geometry)
            self.remarks.append(self._remark(geometry, when, fits))
        if not fits:
            return None
        size = canonical_frame.before_rotation(planned.canonical_size, orientation.rotation)
        image = self._scale(frame, size, planned.left_eye)
        return canonical_frame.encode_canonical(image, orientation.rotation, self._quality, orientation.mirrored)

    def _remark(self, geometry: Geometry, when: str, fits: bool) -> str:
        outcome = "its upright shape stays the same" if fits else "another shape: these times are refused as reshaped"
        return f"its picture changes at {when} from {self._planned.geometry} to {geometry} ({outcome})"
