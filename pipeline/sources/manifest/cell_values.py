"""What the text of a cell means: times, splits, class names, narrations.

Each function raises ValueError, with the column and what was expected, for text that means nothing.
"""

import math
import re

from embedonce.cache.limits import MAX_NAME, MAX_TEXT
from embedonce.pipeline.naming.class_names import is_plain
from embedonce.pipeline.sources.folder.layouts import exact_split
from embedonce.pipeline.sources.manifest.line_problems import expected

LABEL_SEPARATOR = "|"
MAX_DIGITS = 12
_SECONDS = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TIMECODE = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d*)?)", re.ASCII)
A_TIME = "seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS)"


def is_count(text: str) -> bool:
    """Whether a text is a number of things: decimal digits, and not too many of them for a number of anything."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def id_of(column: str, text: str) -> int:
    """The number of a class. ValueError if it is none."""
    if not is_count(text):
        raise ValueError(expected(column, "the number of a class", text))
    return int(text)


def seconds_of(column: str, text: str) -> float:
    """The time in seconds: a number, `HH:MM:SS.sss` or `MM:SS`."""
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif match := _TIMECODE.fullmatch(text):
        hours, minutes, rest = int(match[1] or 0), int(match[2]), float(match[3])
        if rest >= 60 or (match[1] and minutes >= 60):
            raise ValueError(expected(column, f"{A_TIME}, with less than 60 minutes and seconds", text))
        seconds = 3600.0 * hours + 60.0 * minutes + rest
    else:
        hint = ": write a decimal point" if "," in text else ""
        raise ValueError(f"{expected(column, A_TIME, text)}{hint}")
    if not math.isfinite(seconds):
        raise ValueError(expected(column, A_TIME, text))
    return seconds


def split_of(column: str, text: str) -> str:
    """The split with this name or a common synonym, in any case: "train", "val" or "test"."""
    split = exact_split(text)
    if split is None:
        raise ValueError(expected(column, "train, val or test", text))
    return split


def label_of(column: str, text: str) -> str:
    """The class name, or several, separated by LABEL_SEPARATOR, without spaces around them."""
    names = [name_of(column, name.strip()) for name in text.split(LABEL_SEPARATOR)]
    if "" in names or len(set(names)) < len(names):
        raise ValueError(expected(column, f"a class, or different ones with {LABEL_SEPARATOR} between them", text))
    return LABEL_SEPARATOR.join(names)


def class_of(column: str, text: str) -> str:
    """The name of one class."""
    if LABEL_SEPARATOR in text:
        raise ValueError(expected(column, f"one class, without {LABEL_SEPARATOR}", text))
    return name_of(column, text)


def name_of(column: str, text: str) -> str:
    """The text, as a name of one line."""
    if len(text) > MAX_NAME or not is_plain(text):
        raise ValueError(expected(column, f"printable text of at most {MAX_NAME} characters", text))
    return text


def narration_of(column: str, text: str) -> str:
    """The text as one line."""
    line = " ".join(text.split())
    if len(line) > MAX_TEXT or not is_plain(line):
        raise ValueError(expected(column, f"printable text of at most {MAX_TEXT} characters", line))
    return line
