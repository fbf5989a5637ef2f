"""Whether the header of an MP4 or QuickTime file tells all about its packets. Reads box headers and moov only.

Section numbers: ISO/IEC 14496-12. Files with anything unusual are refused rather than understood: names of boxes that
would change packets are searched for in all bytes of moov, wherever they are, so that no nesting can hide them.
"""

import re
from typing import BinaryIO

MAX_HEADER = 64_000_000  # bytes of moov: more than ten hours at 60 frames per second
MAX_BOXES = 64  # beside each other at the top level
PLAIN_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"}  # at the top level
# Inside moov: what makes packets, or their times, differ from what the tables of samples list
UNUSUAL = (
    *(b"mvex", b"moof", b"traf", b"trun", b"sidx", b"mfra"),  # fragments
    *(b"ctts", b"cslg", b"stps"),  # display times apart from decoding times; partial key frames
    *(b"encv", b"enca", b"encs", b"enct", b"drmi", b"drms", b"sinf", b"senc", b"saiz", b"saio", b"pssh"),  # encryption
    *(b"adrm", b"aavd"),  # encryption of audio books
    *(b"c608", b"c708", b"dvca", b"vdva"),  # captions and DV audio, whose packets FFmpeg converts and may refuse
    *(b"iloc", b"cmov", b"cmvd", b"dcom"),  # pictures; compressed headers
)
_DESCRIPTIONS = re.compile(rb"stsd.{4}(.{4})", re.DOTALL)  # section 8.5.2


class Mp4Error(Exception):
    """The header is damaged, or of a kind that is not read here. The message gives the reason in a few words."""


def find_data(file: BinaryIO, num_bytes: int) -> tuple[int, int]:
    """[start, end) in bytes of the only box of data (mdat). file: seekable, of num_bytes.

    Mp4Error unless the file consists of whole boxes of which one is a plain header, and one has the data.
    """
    boxes = _top_level(file, num_bytes)
    kinds = [kind for kind, _, _ in boxes]
    if kinds.count(b"moov") != 1 or kinds.count(b"mdat") != 1 or not PLAIN_BOXES.issuperset(kinds):
        raise Mp4Error("it does not have one header and one box of data")
    _, start, end = boxes[kinds.index(b"moov")]
    _check_header(file, start, end)
    _, start, end = boxes[kinds.index(b"mdat")]
    return start, end


def _check_header(file: BinaryIO, start: int, end: int) -> None:
    """Mp4Error if moov is too long, or if it has more to say about packets than tables of samples do."""
    if end - start > MAX_HEADER:
        raise Mp4Error(f"its header is longer than {MAX_HEADER} bytes")
    file.seek(start)
    header = file.read(end - start)
    if len(header) != end - start:
        raise Mp4Error("its header is truncated")
    for kind in UNUSUAL:
        if kind in header:
            raise Mp4Error(f"its header may contain a box of type {kind.decode()}")
    counts = _DESCRIPTIONS.findall(header)
    if not counts or any(int.from_bytes(count, "big") != 1 for count in counts):
        raise Mp4Error("the parameters of a track may change")


def _top_level(file: BinaryIO, num_bytes: int) -> list[tuple[bytes, int, int]]:
    """(kind, start and end of the content in the file) of each box, section 4.2. Mp4Error unless they fill the file."""
    boxes: list[tuple[bytes, int, int]] = []
    position = 0
    while position < num_bytes and len(boxes) < MAX_BOXES:
        file.seek(position)
        head = file.read(16)
        size, start = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), 16
        if size == 0:
            size = num_bytes - position
        if len(head) < start or size < start:
            raise Mp4Error("the sizes of its boxes do not add up")
        boxes.append((head[4:8], position + start, position + size))
        position += size
    if position != num_bytes:
        raise Mp4Error("its boxes do not end where the file ends")
    return boxes
