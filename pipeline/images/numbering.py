"""Which frame of a video each image of a folder is, by the number at the end of its name. Works on names only."""

import itertools
import os
import re
import shlex
from collections import Counter
from collections.abc import Collection, Sequence

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")  # of the images that can be read
MAX_DIGITS = 12  # of a number, without leading zeros: longer ones are dates or hashes
_NUMBERED = re.compile(r"(.*\D|)0*(\d+)", re.ASCII | re.DOTALL)


class NumberingError(ValueError):
    """The images of a folder are not the frames of one video; the message says why, about "its" images."""


def is_image(name: str) -> bool:
    """Whether a file name is that of an image that can be read."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def split_name(name: str) -> tuple[str, int] | None:
    """(what precedes the number at the end of an image's name, the number); None without one."""
    match = _NUMBERED.fullmatch(_stem(name))
    if match is None or len(match[2]) > MAX_DIGITS:
        return None
    return match[1], int(match[2])


def has_prefix(name: str, prefix: str) -> bool:
    """Whether an image's name is this prefix and a number; any image if the prefix is empty."""
    if not prefix:
        return True
    rest = _stem(name).removeprefix(prefix)
    is_number = rest.isascii() and rest.isdecimal() and len(rest.lstrip("0")) <= MAX_DIGITS
    return name.startswith(prefix) and is_number


def looks_numbered(names: Collection[str]) -> bool:
    """Whether most of these images have a name that differs from that of another one in the number at its end only."""
    parts = [split_name(name) for name in names]
    counts = Counter(part[0] for part in parts if part)
    return 2 * sum(count for count in counts.values() if count > 1) > len(names)


def numbered(names: Sequence[str], prefix: str = "") -> list[tuple[int, str]]:
    """(number, name) of each image, in the order of the numbers.

    names: of the images of a folder, or of those that have the prefix. NumberingError if they are not the frames of one
    video.
    """
    if not names:
        named = f"named {prefix} and a number (--frames-prefix)"
        raise NumberingError(f"it has no image {named if prefix else 'that can be read'} ({' '.join(SUFFIXES)})")
    numbers = _after_prefix(names, prefix) if prefix else _at_the_end(names)
    pairs = sorted(zip(numbers, names, strict=True))
    for (number, name), (other, other_name) in itertools.pairwise(pairs):
        if number == other:
            raise NumberingError(f"two of its images have the number {number} ({name} and {other_name}): remove one")
    return pairs


def _after_prefix(names: Sequence[str], prefix: str) -> list[int]:
    return [_split(name.removeprefix(prefix), name)[1] for name in names]


def _at_the_end(names: Sequence[str]) -> list[int]:
    """The number at the end of each name. NumberingError if there is none, or if other parts of the names differ."""
    numbers, prefix = [], None
    for name in names:
        parts = _split(name, name)
        prefix = parts[0] if prefix is None else prefix
        if parts[0] != prefix:
            raise NumberingError(
                f"its images have several names with numbers ({names[0]} and {name}): choose one of them, such as "
                f"--frames-prefix {shlex.quote(prefix or parts[0])}"
            )
        numbers.append(parts[1])
    return numbers


def _split(rest: str, name: str) -> tuple[str, int]:
    """split_name() of what is left of an image's name. NumberingError, with the whole name, if it has no number."""
    parts = split_name(rest)
    if parts is None:
        raise NumberingError(
            f"the name of its image {name} does not end in the number of a frame, of up to {MAX_DIGITS} digits"
        )
    return parts


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
