"""Thumbnails of a limited number of bytes, and whether a frame shows anything. Pure: images in, bytes out."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

TIERS = (
    (224, 70),
    (224, 50),
    (160, 50),
    (112, 40),
    (80, 35),
    (56, 30),
    (40, 25),
    (16, 20),
)  # (pixels at most, WebP quality), best first
MIN_SPREAD = 8.0  # standard deviation of gray values, 0 to 255, below which a frame is nearly uniform


@dataclass(frozen=True)
class Thumbnail:
    """An image file. data: WebP; width, height: in pixels."""

    data: bytes
    width: int
    height: int


def thumbnail(image: Image.Image, max_bytes: float, max_side: int = TIERS[0][0]) -> Thumbnail:
    """The best thumbnail of at most max_bytes; if there is none, the smallest one, of a few hundred bytes."""
    for side, quality in TIERS:
        if side <= max_side or side == TIERS[-1][0]:
            small = _encoded(image, side, quality)
            if len(small.data) <= max_bytes:
                break
    return small


def _encoded(image: Image.Image, side: int, quality: int) -> Thumbnail:
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    data = io.BytesIO()
    small.save(data, "WEBP", quality=quality, method=2)
    return Thumbnail(data.getvalue(), small.width, small.height)


def spread(image: Image.Image) -> float:
    """Standard deviation of the gray values of an image; below MIN_SPREAD it is nearly black, white or uniform."""
    return float(np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), np.float32).std())
