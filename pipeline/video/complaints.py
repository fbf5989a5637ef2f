"""What FFmpeg says while it works, and which of it means that data is damaged. Knows no video."""

import contextlib
from collections.abc import Iterator

import av.logging


def is_complaint(level: int, text: str) -> bool:
    """Whether a message says that data is damaged. H.264 tells only at level INFO that it fills in lost parts."""
    return level <= av.logging.WARNING or text.startswith("concealing")


@contextlib.contextmanager
def listening() -> Iterator[list]:
    """A list to which FFmpeg's messages in this thread are appended: (level, decoder, text)."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.INFO)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
