"""Canonical frames: from decoded pixels to the stored JPEG, and from its bytes to any stored view.

Teacher and student both use this module, so that they see the same pixels.
"""

import io
import zlib

import numpy as np
from PIL import Image

from embedonce.cache.errors import DamagedError
from embedonce.cache.jpeg_header import MAX_ASPECT, check_header
from embedonce.cache.limits import MAX_STORED_PIXELS
from embedonce.cache.schema import FLAG_HFLIP


def canonical_size(height: float, width: float, short_side: int) -> tuple[int, int]:
    """(height, width) with the given short side. ValueError for extreme aspect ratios and for too many pixels.

    The long side differs from the short one by an even number, so that the centered square lies on whole pixels, as in
    the teacher's own preprocessing (half a pixel costs 3 to 4 dB).
    """
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ValueError(f"a frame of {width:.0f}x{height:.0f} is more than {MAX_ASPECT} times as long as it is wide")
    height, width = (
        short_side + 2 * round((side * short_side / min(height, width) - short_side) / 2) for side in (height, width)
    )
    if height * width > MAX_STORED_PIXELS:
        raise ValueError(f"a stored frame of {width}x{height} would have more than {MAX_STORED_PIXELS} pixels")
    return height, width


def before_rotation(size: tuple[int, int], rotation: int) -> tuple[int, int]:
    """(height, width) that a frame must have so that rotating it by these degrees gives this size."""
    return (size[1], size[0]) if rotation in (90, 270) else size


def encode_canonical(rgb: np.ndarray, rotation: int, quality: int, mirrored: bool = False) -> bytes:
    """Encode a resized frame, (H, W, 3) uint8 RGB, as an upright JPEG.

    rotation: clockwise degrees (a multiple of 90); mirrored: flip left to right after that.
    """
    image = Image.fromarray(rgb)
    if rotation:
        image = image.transpose(_CLOCKWISE[rotation])
    if mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


_CLOCKWISE = {  # Pillow's rotations are counterclockwise
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


def decode_jpeg(jpeg: bytes, short_side: int | None = None) -> Image.Image:
    """A stored canonical frame as an RGB image.

    short_side: of the cache's canonical frames. DamagedError if the bytes are not a baseline JPEG of one scan, or have
    more pixels than such a frame. Other formats are never tried: Pillow passes some of them to external programs.
    """
    try:
        check_header(jpeg, short_side)
        image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedError(f"a stored frame is no JPEG that can be decoded ({error})") from error


def crop(image: Image.Image, view: np.ndarray, size: int) -> np.ndarray:
    """Apply a stored view: integer crop, one resize, flip. Returns (size, size, 3) uint8 RGB.

    DamagedError if the view exceeds the image.
    """
    top, left, height, width, flags, interpolation = (int(value) for value in view)
    if not (0 <= top < top + height <= image.height and 0 <= left < left + width <= image.width):
        raise DamagedError(f"a stored view lies beside its frame of {image.width}x{image.height} pixels")
    region = image.crop((left, top, left + width, top + height))
    if region.size != (size, size):
        region = region.resize((size, size), Image.Resampling(interpolation))
    if flags & FLAG_HFLIP:
        region = region.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(region)


def crc32(crops: np.ndarray) -> np.ndarray:
    """(V, S, S, 3) uint8 -> (V,) uint32, the CRC-32 of each crop's pixels (zlib's)."""
    return np.array([zlib.crc32(np.ascontiguousarray(pixels).data) for pixels in crops], np.uint32)


def replay(jpeg: bytes, views: np.ndarray, size: int) -> np.ndarray:
    """(V, size, size, 3) uint8: these views of a stored frame, as the teacher saw them."""
    image = decode_jpeg(jpeg)
    return np.stack([crop(image, view, size) for view in views])


def replayed_crc32(jpeg: bytes, views: np.ndarray, size: int) -> np.ndarray:
    """(V,) uint32: crc32() of replay(), with one view in memory at a time."""
    image = decode_jpeg(jpeg)
    return np.concatenate([crc32(crop(image, view, size)[None]) for view in views])


def load_view(jpeg: bytes, view: np.ndarray, size: int, short_side: int | None = None) -> np.ndarray:
    """crop() of the frame in these JPEG bytes; short_side as in decode_jpeg()."""
    return crop(decode_jpeg(jpeg, short_side), view, size)


def jittered(images: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """(T, H, W, 3) uint8 with brightness, contrast and saturation changed by these factors, in this order.

    Contrast is about the mean gray of all frames, saturation about each pixel's gray (ITU-R BT.601 weights).
    """
    values = images.astype(np.float32) * brightness
    gray = values @ np.array([0.299, 0.587, 0.114], np.float32)
    values = gray.mean() + contrast * (values - gray.mean())
    gray = gray.mean() + contrast * (gray - gray.mean())
    values = gray[..., None] + saturation * (values - gray[..., None])
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
