"""The lines of lists of files: the path of a video and the number of its class, a space or a comma between them."""

import re

from embedonce.pipeline.sources.folder.file_kinds import VIDEO, kind_of_name
from embedonce.pipeline.sources.manifest.line_problems import expected

_ENTRY = re.compile(r"(?P<video>.+?)(\s*,\s*|\s+)(?P<number>\d{1,12})", re.ASCII)
_AN_ENTRY = "the path of a video and the number of its class, such as archery/a.mp4 5"


def parse_entry(text: str) -> tuple[str, int]:
    """(the path of the video, the number of its class).

    ValueError for other text, such as the path of a folder of images, or a path with several numbers: they may be
    several classes, or a number of frames.
    """
    match = _ENTRY.fullmatch(text)
    if match is None or kind_of_name(match["video"].rpartition("/")[2]) != VIDEO:
        raise ValueError(expected("line", _AN_ENTRY, text))
    return match["video"], int(match["number"])


def is_entry(text: str) -> bool:
    """Whether parse_entry() understands the text."""
    try:
        parse_entry(text)
    except ValueError:
        return False
    return True
