"""Limits on the values in a cache's files, so that reading them takes bounded memory and time.

All limits are far above what is ever written.
"""

MAX_CLASSES = 100_000  # of a label set: five times ImageNet-21k's
MAX_NAME = 1000  # characters of a class, a label set, a split, a teacher
MAX_TEXT = 100_000  # characters of any other text: paths, reasons, prompts
MAX_EMBED_DIM = 1 << 14  # dimensions: CLIPs have 512 to 1,536
MIN_CROP_FRACTION = 0.1
MIN_VIEW_AREA = 1e-3  # as a share of the frame
MAX_INPUT_SIZE = 2048  # pixels: side of a teacher's input
MAX_WINDOW = 1024  # rows that one embedding is computed from
MAX_VIEWS = 1000  # stored random views
MAX_SHORT_SIDE = 4096  # pixels: short side of a canonical frame
MAX_STORED_PIXELS = 1 << 25  # of a stored frame: 100 MB as RGB
MIN_FPS, MAX_FPS = 1e-6, 1000.0  # requested frames per second; the lowest is one in eleven days
MAX_FRAMES_PER_CLIP = 256
MAX_FRAME_INDEX = 10**8 - 1  # keys have 8 digits
MAX_TICKS = 1 << 62  # of a time of either sign: the sum of two fits 64 bits
MAX_LOGIT = 1e6  # of either sign, before softmax and temperature
_SHOWN = 60


def brief(value) -> str:
    """A short description of any value for a message, in bounded time: long values are named by type and size."""
    if isinstance(value, str):
        return ascii(value[:_SHOWN]) + (f"… ({len(value)} characters)" if len(value) > _SHOWN else "")
    if type(value) is int and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    if hasattr(value, "shape"):
        return f"an array of shape {value.shape}"
    size = f" of {len(value)} entries" if isinstance(value, (list, tuple, dict, set, bytes)) else ""
    return f"a {type(value).__name__}{size}"


def check_text(text, limit: int = MAX_TEXT) -> str:
    """Return text. TypeError if it is not a string, ValueError if it is longer than limit characters."""
    if type(text) is not str:
        raise TypeError(f"{brief(text)} is not a string")
    if len(text) > limit:
        raise ValueError(f"{brief(text)} is longer than {limit} characters")
    return text


def check_range(name: str, value: float, low: float, high: float) -> None:
    """ValueError unless low <= value <= high."""
    if not low <= value <= high:
        raise ValueError(f"{name} is {brief(value)}, not from {low} to {high}")
