"""Crop boxes of a canonical frame, as integers. Pure arithmetic.

View 0 is the teacher's own evaluation crop; views 1..K are random resized crops, one set per video. Boxes are stored
and never drawn again, so that a change of random generator cannot move one.
"""

import hashlib

import numpy as np

from embedonce.cache.schema import DEFAULT_VIEW_AREA, FLAG_HFLIP, INTERPOLATIONS, VIEW_FIELDS, TeacherIdentity

ASPECT_RANGE = (3 / 4, 4 / 3)  # torchvision's RandomResizedCrop
ATTEMPTS = 10


def make_views(
    video_uid: str,
    size: tuple[int, int],
    num_random: int,
    seed: int,
    teacher: TeacherIdentity,
    smallest_area: float = DEFAULT_VIEW_AREA,
) -> np.ndarray:
    """(1 + num_random, 6) int32, columns as in VIEW_FIELDS, for a canonical frame of size (height, width).

    smallest_area: of random views, as a share of the canonical frame; the largest is the whole frame.
    """
    code = INTERPOLATIONS[teacher.interpolation]
    digest = hashlib.sha256(f"{seed}:{video_uid}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    views = [(*evaluation_box(size, teacher.resize_mode, teacher.crop_fraction), 0, code)]
    for _ in range(num_random):
        box = _random_box(generator, size, smallest_area)
        views.append((*box, FLAG_HFLIP if generator.random() < 0.5 else 0, code))
    return np.array(views, np.int32).reshape(-1, len(VIEW_FIELDS))


def evaluation_box(
    size: tuple[int, int], resize_mode: str = "shortest", fraction: float = 1.0
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the region that the teacher's preprocessing keeps.

    "shortest": the largest centered square (CLIP's resize of the short side and center crop); "squash": the whole
    frame. fraction: of the sides of these, around the center, that are kept.
    """
    kept = size if resize_mode == "squash" else (min(size), min(size))
    height, width = (side - 2 * round(side * (1 - fraction) / 2) for side in kept)
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def _random_box(
    generator: np.random.Generator, size: tuple[int, int], smallest_area: float
) -> tuple[int, int, int, int]:
    height, width = size
    low, high = np.log(ASPECT_RANGE)
    for _ in range(ATTEMPTS):
        area = height * width * generator.uniform(smallest_area, 1)
        aspect = np.exp(generator.uniform(low, high))
        box_width, box_height = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(generator.integers(0, height - box_height + 1))
            left = int(generator.integers(0, width - box_width + 1))
            return top, left, box_height, box_width
    return _box_along(generator, size, smallest_area)


def _box_along(
    generator: np.random.Generator, size: tuple[int, int], smallest_area: float
) -> tuple[int, int, int, int]:
    """A random box in a frame so elongated that boxes of the usual area hardly fit; none of 0.35 does beyond 3.8 to 1.

    The aspect ratio is drawn as usual. The area is at least that of other views if the largest box of this aspect ratio
    has that, otherwise it is drawn relative to that box: the box moves along the frame.
    """
    height, width = size
    aspect = np.exp(generator.uniform(*np.log(ASPECT_RANGE)))
    largest = min(height, width / aspect)
    smallest = smallest_area * height * width / (aspect * largest**2)  # as a share of the largest box
    scale = np.sqrt(generator.uniform(smallest if smallest <= 1 else smallest_area, 1))
    box_height = min(height, max(1, round(scale * largest)))
    box_width = min(width, max(1, round(scale * largest * aspect)))
    top = int(generator.integers(0, height - box_height + 1))
    left = int(generator.integers(0, width - box_width + 1))
    return top, left, box_height, box_width
