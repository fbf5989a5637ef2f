"""Turn a display matrix into the rotation and flip that set a frame upright. Pure arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

INVALID = -(2**31)  # the integer that a NaN was converted to
MIN_SINE = 0.1  # of the angle between the picture's axes; smaller ones are degenerate
EXACT_DEGREES = 1.0  # tolerance for quarter turns, as in ffmpeg


@dataclass(frozen=True)
class Orientation:
    """rotation: clockwise degrees that set a frame upright (0, 90, 180, 270). mirrored: flip left to right after it."""

    rotation: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width are exchanged."""
        return self.rotation in (90, 270)

    def __str__(self) -> str:
        return f"rotated by {self.rotation} degrees" + (" and mirrored" if self.mirrored else "")


UPRIGHT = Orientation()


def orientation_of(matrix: Sequence[int]) -> tuple[Orientation, str | None]:
    """(orientation, note or None) for a display matrix: 9 integers as FFmpeg gives them.

    The same result as ffmpeg's autorotate for quarter turns and their mirror images. Other angles are rounded to the
    nearest quarter turn, and degenerate matrices are ignored; both produce a note.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]  # x' = a x + c y, y' = b x + d y, to the right and down
    scales = math.hypot(a, c), math.hypot(b, d)
    if INVALID in (a, b, c, d) or 0.0 in scales:
        return UPRIGHT, _invalid(matrix)
    sine = (a / scales[0]) * (d / scales[1]) - (b / scales[1]) * (c / scales[0])
    if abs(sine) < MIN_SINE:
        return UPRIGHT, _invalid(matrix)
    mirrored = sine < 0
    degrees = math.degrees(math.atan2(b / scales[1], (-a if mirrored else a) / scales[0]))
    rotation = round(degrees / 90) * 90
    is_exact = abs(degrees - rotation) < EXACT_DEGREES
    note = None if is_exact else f"its rotation of {degrees:.0f} degrees is rounded to {rotation % 360}"
    return Orientation(rotation % 360, mirrored), note


def _invalid(matrix: Sequence[int]) -> str:
    numbers = " ".join(str(value) for value in matrix)
    return f"its display matrix ({numbers}) is invalid: frames are neither rotated nor mirrored"
