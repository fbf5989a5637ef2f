"""Dependencies between HEVC packets, from their headers. Pure arithmetic on bytes.

Section and table numbers: ITU-T H.265. Anything unexpected raises BitsError, and the video is decoded completely.
"""

from dataclasses import dataclass

from embedonce.pipeline.video.headers.bits import (
    BitReader,
    BitsError,
    add_once,
    check_sei,
    nearest_order,
    order_in_period,
    parameters,
    payload,
    sequence_ends,
    split_nals,
)
from embedonce.pipeline.video.headers.hevc_parameter_sets import Sps, read_ref_set, read_sps
from embedonce.pipeline.video.headers.hevc_references import NONE, HeldPictures, References, read_long_terms
from embedonce.pipeline.video.packets import PacketFacts

VPS, SPS, PPS, SEI = 32, 33, 34, (39, 40)  # nal_unit_type, table 7-1
HARMLESS = {35, 38, *SEI, 62}  # delimiter, filler, SEI, Dolby Vision metadata: they do not affect later frames
ENDS = {36, 37}  # of a sequence, of the bitstream
FIRST_IRAP, LAST_IRAP, IDR, BLA = 16, 23, (19, 20), (16, 17, 18)
LEADING = range(6, 10)  # RADL and RASL
RASL = (8, 9)  # leading pictures that depend on earlier packets
NOT_REFERENCED = range(0, 16, 2)  # by pictures of their own sub-layer


@dataclass(frozen=True)
class _Pps:
    sps_id: int
    output_flag: bool
    extra_bits: int


class HevcInspector:
    """Inspects the packets of one stream in decoding order. extradata: hvcC or Annex B."""

    def __init__(self, extradata: bytes):
        is_record = extradata[:1] == b"\1" and len(extradata) > 23
        self.length_size = (extradata[21] & 3) + 1 if is_record else 0
        nals = _hvcc_nals(extradata) if is_record else split_nals(extradata, 0)
        self._parameter_sets = {nal.rstrip(b"\0") for nal in nals if _kind(nal) in (VPS, SPS, PPS)}
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, _Pps] = {}
        for nal in sorted(self._parameter_sets, key=_kind):
            self._learn(nal)
        self.has_orientations = False  # whether some packet contains a display orientation
        self._held = HeldPictures()
        self._count = 0  # packets so far
        self._base_order = 0  # of the last picture of the base layer that others may refer to, section 8.3.1
        self._is_first = True  # of the stream, or after an end of sequence: order counts restart
        self._skips_leading = False  # RASL pictures now lack their references and are not output
        self._period = 0  # restarts of the order count so far: earlier packets are displayed earlier

    def _learn(self, nal: bytes) -> None:
        if _kind(nal) == VPS:
            return
        bits = parameters(nal, 2)
        if _kind(nal) == SPS:
            add_once(self._sps, *read_sps(bits))
        else:
            add_once(self._pps, *_read_pps(bits))

    def look(self, data: bytes) -> PacketFacts:
        """Facts about the next packet. BitsError if frames of this stream cannot be skipped."""
        slices, others = [], set()
        nals = split_nals(data, self.length_size)
        for nal in nals:
            kind = _kind(nal)
            if len(nal) < (2 if kind in ENDS else 3) or (nal[0] & 1) << 5 | nal[1] >> 3:
                raise BitsError("it has several layers")
            if kind < VPS:
                slices.append(nal)
                continue
            if kind in (VPS, SPS, PPS) and nal.rstrip(b"\0") not in self._parameter_sets:
                raise BitsError("its parameter sets change")
            if kind not in HARMLESS | ENDS | {VPS, SPS, PPS}:
                raise BitsError(f"it has NAL units of type {kind}")
            if kind in SEI:
                self.has_orientations |= check_sei(nal, 2)
            others.add(kind)
        kinds = {_kind(nal) for nal in slices}
        firsts = [nal[2] >> 7 for nal in slices]  # first_slice_segment_in_pic_flag
        if len(kinds) != 1 or not firsts[0] or sum(firsts) != 1:
            raise BitsError("a packet does not hold exactly one frame")
        kind = kinds.pop()
        is_start = FIRST_IRAP <= kind <= LAST_IRAP
        units = [_kind(nal) for nal in nals] if others & ENDS else []
        ends_before, ends_after = sequence_ends(units, range(VPS), ENDS)
        self._is_first |= ends_before
        if self._is_first and self._count and kind not in IDR and kind not in BLA:
            # Before a CRA picture, too: a decoder discards frames that it has not output yet (section C.5.2.2)
            raise BitsError("it continues after an end of sequence")
        restarts = kind in IDR or kind in BLA or self._is_first
        try:
            order, references, sps = self._slice_header(slices[0], kind)
        except (KeyError, IndexError) as error:
            raise BitsError("it has frames without parameter sets") from error
        self._period += restarts
        needs, in_order, top_layer = self._follow(slices[0], kind, (order, references, sps), restarts)
        self._is_first = ends_after
        droppable = in_order and top_layer and kind in NOT_REFERENCED and others <= HARMLESS
        is_shown = not (kind in RASL and self._skips_leading)
        return PacketFacts(is_start, droppable, order_in_period(self._period, order), in_order, is_shown, needs=needs)

    def _follow(
        self, nal: bytes, kind: int, header: tuple[int, References, Sps], restarts: bool
    ) -> tuple[tuple[int, ...], bool, bool]:
        """(packets that this one depends on, whether they are held, whether it is of the top layer), section 8.3.2."""
        order, references, sps = header
        layer = (nal[1] & 7) - 1
        if layer == 0 and kind not in LEADING and kind not in NOT_REFERENCED:
            self._base_order = order
        if FIRST_IRAP <= kind <= LAST_IRAP:
            self._skips_leading = restarts
        if restarts:
            self._held.clear()
        needs, in_order = self._held.follow(order, references, 1 << sps.order_bits)
        needs = () if FIRST_IRAP <= kind <= LAST_IRAP else needs  # these are intra-coded
        top_layer = layer == sps.top_layer
        self._held.add(order, self._count, top_layer and kind in NOT_REFERENCED)
        self._count += 1
        return needs, in_order, top_layer

    def _slice_header(self, nal: bytes, kind: int) -> tuple[int, References, Sps]:
        """(picture order count, reference pictures, sequence parameter set), section 7.3.6.1."""
        bits = payload(nal, 2)
        bits.flag()
        if FIRST_IRAP <= kind <= LAST_IRAP:
            bits.flag()
        pps = self._pps[bits.exp_golomb()]
        sps = self._sps[pps.sps_id]
        bits.bits(pps.extra_bits)
        bits.exp_golomb()  # slice_type
        if pps.output_flag and not bits.flag():
            raise BitsError("it has frames that are not shown")
        bits.bits(2 * sps.separate_planes)
        if kind in IDR:
            return 0, NONE, sps
        low = bits.bits(sps.order_bits)
        order = low if kind in BLA or self._is_first else nearest_order(low, self._base_order, 1 << sps.order_bits)
        if bits.flag():
            short = sps.ref_sets[bits.bits((len(sps.ref_sets) - 1).bit_length())]
        else:
            short = read_ref_set(bits, sps.ref_sets, in_slice=True)
        return order, References(short, read_long_terms(bits, sps, order) if sps.has_long_terms else ()), sps


def _kind(nal) -> int:
    return nal[0] >> 1 & 63


def _read_pps(bits: BitReader) -> tuple[int, _Pps]:
    """(pps_pic_parameter_set_id, fields), section 7.3.2.3.1."""
    pps_id, sps_id = bits.exp_golomb(), bits.exp_golomb()
    bits.flag()
    return pps_id, _Pps(sps_id, bits.flag(), bits.bits(3))


def _hvcc_nals(extradata: bytes) -> list[bytes]:
    """The parameter sets of an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 8.3.3.1)."""
    nals, at = [], 23
    for _ in range(extradata[22]):
        count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            nals.append(extradata[at + 2 : at + 2 + size])
            at += 2 + size
    if any(len(nal) < 3 for nal in nals):
        raise BitsError("its parameter sets are damaged")
    return nals
