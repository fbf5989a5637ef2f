"""Frames that show their own number, and a reader of that number from resized frames."""

import numpy as np

BITS = 10
RIGHT_EYE = 1 << (BITS - 1)  # added to the number in the half of the right eye
_NOISE = np.random.default_rng(0).integers(0, 224, (64, 97, 3), dtype=np.uint8)


def numbered_frame(number: int, height: int = 64, width: int = 160, shift: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: the number as black and white vertical bars, most significant bit first.

    Colored noise moves above and below them, so that the encoder needs motion and residuals. shift: offset of the
    noise, so that videos differ.
    """
    bits = [(number >> (BITS - 1 - i)) & 1 for i in range(BITS)]
    columns = np.array(bits, np.uint8)[np.arange(width) * BITS // width] * np.uint8(255)
    image = np.broadcast_to(columns[None, :, None], (height, width, 3)).copy()
    band = height // 4
    if band >= 8:
        coarse = _NOISE[: -(-band // 4), (np.arange(-(-width // 4)) + 3 * number + shift) % _NOISE.shape[1]]
        noise = np.kron(coarse, np.ones((4, 4, 1), np.uint8))[:band, :width] + np.uint8(5 * number % 32)
        image[:band], image[height - band :] = noise, noise[::-1, ::-1]
    return image


def read_number(image: np.ndarray) -> int:
    """The number in a frame, (height, width, 3) uint8 of any size."""
    middle = image[image.shape[0] // 2, :, 1]
    positions = ((np.arange(BITS) + 0.5) * image.shape[1] / BITS).astype(int)
    return int("".join("1" if middle[p] > 127 else "0" for p in positions), 2)


def stereo_frame(number: int, height: int, eye_width: int, shift: int = 0) -> np.ndarray:
    """(height, 2 · eye_width, 3) uint8: the left eye shows the number, the right eye number + RIGHT_EYE."""
    eyes = (numbered_frame(shown, height, eye_width, shift) for shown in (number, number + RIGHT_EYE))
    return np.concatenate(tuple(eyes), axis=1)


def blank_frame(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: a redacted frame, black, whose number reads as 0."""
    return np.zeros((height, width, 3), np.uint8)
