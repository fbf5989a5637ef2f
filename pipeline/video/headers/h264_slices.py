"""H.264 slices: which of them form a frame or a field, and whether a packet is intra-coded. Sections: ITU-T H.264."""

from dataclasses import dataclass
from typing import NamedTuple

from embedonce.pipeline.video.headers.bits import BitsError, payload, split_nals

SLICES, IDR_SLICE = (1, 5), 5  # nal_unit_type, table 7-1
INTRA = {2, 4, 7, 9}  # slice_type, table 7-6


@dataclass(frozen=True)
class Sps:
    """The fields of a sequence parameter set that slice headers refer to."""

    frame_num_bits: int
    order_bits: int | None  # of pic_order_cnt_lsb; None where frames are shown as they are decoded
    separate_planes: bool
    frames_only: bool
    allows_gaps: bool = False  # in frame_num: frames may be left out on purpose


class Slice(NamedTuple):
    """first_mb_in_slice, frame_num, pic_order_cnt_lsb, the active parameters, bottom_field_flag (None: a frame)."""

    position: int
    number: int
    order_low: int
    sps: Sps
    parity: int | None

    @property
    def without_position(self) -> tuple:
        return self[1:]


class Half(NamedTuple):
    """A first field whose second field is expected."""

    parity: int
    number: int
    is_reference: bool


def fields_of(headers: list[Slice], slices: list[bytes]) -> list[list[Slice]]:
    """The slices of each field, or of the frame. BitsError if they do not form one frame."""
    fields: list[list[Slice]] = []
    kinds: list[set[tuple[bool, bool]]] = []
    for header, nal in zip(headers, slices, strict=True):
        if not fields or header.parity != fields[-1][0].parity:
            fields.append([])
            kinds.append(set())
        fields[-1].append(header)
        kinds[-1].add((nal[0] & 31 == IDR_SLICE, nal[0] & 0x60 > 0))
    if len(fields) > 2 or any(len(kind) > 1 for kind in kinds):
        raise BitsError("a packet does not hold exactly one frame")
    if len(fields) == 2:
        (first, second), ((_, is_reference),), ((is_idr, is_referred),) = (fields[0][0], fields[1][0]), *kinds
        is_pair = None not in (first.parity, second.parity) and first.number == second.number
        if not is_pair or is_reference != is_referred or is_idr > next(iter(kinds[0]))[0]:
            raise BitsError("a packet does not hold exactly one frame")
    return fields


def is_whole(slices: list[Slice]) -> bool:
    """Whether these slices form one picture, from its first macroblock."""
    first = slices[0]
    if first.position or len(slices) == 1:
        return not first.position
    is_each_once = len({one.position for one in slices}) == len(slices)
    return is_each_once and all(one.without_position == first.without_position for one in slices)


def is_intra(data: bytes, extradata: bytes) -> bool:
    """Whether nothing in an H.264 packet is predicted from other frames. extradata: avcC or Annex B.

    Containers, and FFmpeg's parsers, also flag frames as key frames from which on the picture is refreshed gradually.
    """
    length_size = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 6 else 0
    try:
        slices = [nal for nal in split_nals(data, length_size) if nal[0] & 31 in SLICES]
        return all(nal[0] & 31 == IDR_SLICE or payload(nal, 1).exp_golombs(2)[1] in INTRA for nal in slices)
    except BitsError:
        return False
