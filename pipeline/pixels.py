"""From decoded pixels to the canonical JPEG, and from its bytes to any stored view.

Teacher and student both come here, so that they look at the same pixels. Knows no video container.
"""

import io

import numpy as np
from PIL import Image

from cache.schema import FLAG_HFLIP

MAX_ASPECT = 16  # canonical frames have a fixed short side: an endless strip would be an endless frame


def canonical_size(height: float, width: float, short_side: int) -> tuple[int, int]:
    """(height, width) with the short side set. ValueError for a strip no camera makes."""
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ValueError(f"a frame of {width:.0f}x{height:.0f} is more than {MAX_ASPECT} times as long as it is wide")
    scale = short_side / min(height, width)
    return max(short_side, round(height * scale)), max(short_side, round(width * scale))


def encode_canonical(rgb: np.ndarray, rotation: int, size: tuple[int, int], quality: int) -> bytes:
    """A decoded frame (H, W, 3) uint8 RGB -> the JPEG of its upright, square-pixel form.

    rotation: degrees clockwise that set it upright (a multiple of 90). size: (height, width) of the result.
    """
    turned = rotation in (90, 270)
    height, width = (size[1], size[0]) if turned else size
    image = Image.fromarray(rgb)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if rotation:
        image = image.transpose(_CLOCKWISE[rotation])
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


_CLOCKWISE = {  # Pillow names rotations counter-clockwise
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


def decode_jpeg(jpeg: bytes) -> Image.Image:
    """A stored canonical frame as an RGB image."""
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def crop(image: Image.Image, view: np.ndarray, size: int) -> np.ndarray:
    """Replay a stored view: integer crop, one resize, flip. Returns (size, size, 3) uint8 RGB."""
    top, left, height, width, flags, interpolation = (int(value) for value in view)
    region = image.crop((left, top, left + width, top + height))
    if region.size != (size, size):
        region = region.resize((size, size), Image.Resampling(interpolation))
    if flags & FLAG_HFLIP:
        region = region.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(region)


def decode_crop(jpeg: bytes, view: np.ndarray, size: int) -> np.ndarray:
    """crop() of the frame in these JPEG bytes."""
    return crop(decode_jpeg(jpeg), view, size)
