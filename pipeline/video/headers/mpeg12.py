"""Packet headers of MPEG-1 and MPEG-2: pictures at which decoding can begin, and B pictures.

Pure arithmetic on bytes. Section and table numbers: ITU-T H.262. No picture depends on a B picture.
"""

import re

from embedonce.pipeline.video.headers.b_picture_order import B_PICTURE, I_PICTURE, P_PICTURE, AnchorOrder
from embedonce.pipeline.video.headers.bits import BitsError
from embedonce.pipeline.video.packets import PacketFacts

START_CODE = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
PICTURE, LAST_SLICE, USER_DATA, SEQUENCE, EXTENSION, END, GROUP = 0x00, 0xAF, 0xB2, 0xB3, 0xB5, 0xB7, 0xB8  # table 6-1
SEQUENCE_EXTENSION, DISPLAY_EXTENSION, MATRIX_EXTENSION, PICTURE_EXTENSION = 1, 2, 3, 8  # table 6-2
KINDS = {1: I_PICTURE, 2: P_PICTURE, 3: B_PICTURE}  # picture_coding_type, table 6-12
WHOLE_FRAME = 3  # picture_structure, table 6-14


class Mpeg12Inspector:
    """Inspects the packets of one stream in decoding order. extradata: the stream's sequence header, or empty."""

    def __init__(self, extradata: bytes):
        self._sequence = _headers(extradata)[0] if SEQUENCE_START in extradata else b""
        self._is_plain = True  # every sequence header so far was the same, and no quantization matrix came beside it
        self._order = AnchorOrder()
        self._num_decoded = 0  # I and P pictures, from the first I picture on: FFmpeg decodes nothing before it
        self._ended = False

    def look(self, data: bytes) -> PacketFacts:
        """Facts about the next packet. BitsError if it is not one frame."""
        if not self._num_decoded and PICTURE_START not in data:  # the end of a picture whose beginning was cut off
            return PacketFacts(False, True, self._order.number(B_PICTURE), is_shown=False)
        sequence, closes_group, has_matrices, pictures = _read(data)
        kinds = [kind for kind, _ in pictures]
        is_start = kinds[0] == I_PICTURE == kinds[-1] and bool(self._sequence or sequence)
        if self._ended and not is_start:
            raise BitsError("it continues after an end of sequence")
        self._ended = data.find(END_START) >= 0
        self._sequence = self._sequence or sequence
        self._is_plain &= not has_matrices and sequence in (b"", self._sequence)
        is_start &= self._is_plain and (sequence == self._sequence or self._order.num_anchors == 0)
        is_shown = self._is_shown(kinds[0], closes_group)
        order = self._order.number(kinds[0])
        droppable = self._is_plain and not sequence and all(kind == B_PICTURE for kind in kinds)
        return PacketFacts(is_start, droppable, order, is_shown=is_shown)

    def _is_shown(self, kind: int, closes_group: bool) -> bool:
        if kind == B_PICTURE:
            return self._num_decoded > 1 or (self._num_decoded == 1 and closes_group)
        self._num_decoded += kind == I_PICTURE or self._num_decoded > 0
        return self._num_decoded > 0


SEQUENCE_START, END_START, PICTURE_START = (b"\0\0\1" + bytes([kind]) for kind in (SEQUENCE, END, PICTURE))


def _read(data: bytes) -> tuple[bytes, bool, bool, list[tuple[int, int]]]:
    """(sequence header, whether a closed group begins, whether matrices change, [(kind, structure)] of the pictures).

    A frame is one picture, or two field pictures.
    """
    sequence, is_closed, has_matrices = b"", False, False
    pictures: list[tuple[int, int]] = []
    at = 0
    while at >= 0:
        header, closed, matrices, picture = _headers(data[at:] if at else data)
        if picture is None:
            raise BitsError("a packet does not hold exactly one frame")
        if header and pictures:
            raise BitsError("a sequence begins inside a frame")
        sequence, is_closed, has_matrices = sequence or header, is_closed or closed, has_matrices or matrices
        pictures.append(picture[:2])
        found = data.find(PICTURE_START, at + picture[2])
        at = found if found > 0 else -1
    structures = [structure for _, structure in pictures]
    if structures != [WHOLE_FRAME] and sorted(structures) != [1, 2]:
        raise BitsError("a packet does not hold exactly one frame")
    if len(pictures) == 2 and (pictures[0][0] == B_PICTURE) != (pictures[1][0] == B_PICTURE):
        raise BitsError("a packet does not hold exactly one frame")
    return sequence, is_closed, has_matrices, pictures


def _headers(data: bytes) -> tuple[bytes, bool, bool, tuple[int, int, int] | None]:
    """(sequence header, closed_gop, whether matrices come, (kind, structure, end) of the picture) up to its slices."""
    starts, sequence, is_closed, has_matrices, picture = START_CODE.finditer(data), [], False, False, None
    unit = next(starts, None)
    while unit is not None:
        code, following = unit[1][0], next(starts, None)
        content = data[unit.end() : following.start() if following else len(data)]
        if PICTURE < code <= LAST_SLICE:
            break
        extension = content[0] >> 4 if code == EXTENSION and content else None
        if code == SEQUENCE or extension in (SEQUENCE_EXTENSION, DISPLAY_EXTENSION):
            sequence.append(unit[0] + content.rstrip(b"\0"))
        elif code == GROUP and len(content) > 3:
            is_closed = bool(content[3] & 0x40)
        elif code == PICTURE and picture is None:
            picture = (_picture_kind(content), WHOLE_FRAME, unit.end())
        elif extension == PICTURE_EXTENSION and picture is not None and len(content) > 2:
            picture = (picture[0], content[2] & 3, unit.end())
        elif code == PICTURE:
            raise BitsError("it has pictures without slices")
        has_matrices |= extension == MATRIX_EXTENSION
        unit = following
    return b"".join(sequence), is_closed, has_matrices, picture


def _picture_kind(content: bytes) -> int:
    kind = content[1] >> 3 & 7 if len(content) > 1 else 0
    if kind not in KINDS:
        raise BitsError(f"it has pictures of type {kind}")
    return KINDS[kind]
