"""One image file as RGB pixels, with its orientation. The only reader of image files; knows no videos.

Only formats of SUFFIXES are tried, whatever the file is called: Pillow passes some others to external programs.
"""

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from embedonce.pipeline.images.joined_files import open_regular
from embedonce.pipeline.video.container import MAX_PIXELS, VideoError, check_size
from embedonce.pipeline.video.orientation import UPRIGHT, Orientation

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_WITH_PREVIEWS = "MPO"  # a JPEG file with further pictures, such as cameras write: the first one is the photo
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # of 8 bits per channel
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # "I": what older versions of Pillow make of 16-bit PNGs
_ORIENTATIONS = {
    1: UPRIGHT,
    2: Orientation(0, mirrored=True),
    3: Orientation(180),
    4: Orientation(180, mirrored=True),
    5: Orientation(90, mirrored=True),
    6: Orientation(90),
    7: Orientation(270, mirrored=True),
    8: Orientation(270),
}  # by the number of EXIF


class ImageError(VideoError):
    """This image cannot be decoded. The message gives its name and the reason."""


class UnreadableError(ImageError):
    """This image cannot be read now: the system reports an error."""

    is_temporary = True


def decode_image(path: Path) -> tuple[np.ndarray, Orientation, str]:
    """(pixels as they are stored, (H, W, 3) uint8 RGB; how they are set upright; format, such as "jpeg").

    Gray images have equal channels; of 16 bits per channel the upper 8 are used; transparency is dropped, and so are
    color profiles. ImageError if the image is damaged, truncated, animated, too large, or of another format.
    """
    try:
        with open_regular(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which check_size() refuses, and of odd metadata
            _check_not_empty(file)
            image = Image.open(file, formats=FORMATS)
            check_size(*image.size)
            _check_single(image)
            image.load()
            return _rgb(image), _orientation(image), str(image.format).lower().replace("mpo", "jpeg")
    except VideoError as error:
        raise ImageError(f"{path.name}: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise UnreadableError(f"{path.name}: {error.strerror}") from error
        raise ImageError(f"{path.name}: {_reason(error)}") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may bring any exception out of Pillow's decoders
        raise ImageError(f"{path.name}: {_reason(error)}") from error


def _check_not_empty(file: BinaryIO) -> None:
    if not file.read(1):
        raise VideoError("it is empty")
    file.seek(0)


def _check_single(image: Image.Image) -> None:
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format != _WITH_PREVIEWS:
        raise VideoError(f"it is an animation of {count} pictures")


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode in _SIXTEEN_BITS and image.format == "PNG":
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode not in _MODES:
        raise VideoError(f"its colors ({image.mode}) cannot be converted")
    return np.asarray(image.convert("RGB"))


def _orientation(image: Image.Image) -> Orientation:
    try:
        number = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata: the pixels are sound
        return UPRIGHT
    return _ORIENTATIONS.get(number, UPRIGHT)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is not an image of a format that can be read ({', '.join(FORMATS)})"
    if isinstance(error, Image.DecompressionBombError):
        return f"it is larger than {MAX_PIXELS} pixels"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
