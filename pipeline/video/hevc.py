"""What the headers of HEVC packets say about which of them depend on which. Pure arithmetic on bytes.

References are to ITU-T H.265. What is not understood is never guessed: it raises, and the video is decoded whole.
"""

from dataclasses import dataclass

from pipeline.video.bits import (
    BitReader,
    BitsError,
    check_sei,
    nearest_order,
    order_in_period,
    parameters,
    payload,
    split_nals,
)
from pipeline.video.hevc_headers import RefSet, Sps, read_ref_set, read_sps
from pipeline.video.packets import PacketFacts

VPS, SPS, PPS, SEI = 32, 33, 34, (39, 40)  # nal_unit_type, table 7-1
HARMLESS = {35, 38, *SEI, 62}  # delimiter, filler, SEI, Dolby Vision's metadata: they change nothing after them
FIRST_IRAP, LAST_IRAP, IDR, BLA = 16, 23, (19, 20), (16, 17, 18)
LEADING = range(6, 10)  # RADL and RASL
NOT_REFERENCED = range(0, 16, 2)  # by pictures of their own sub-layer


@dataclass(frozen=True)
class _Pps:
    sps_id: int
    output_flag: bool
    extra_bits: int


class HevcInspector:
    """Looks at the packets of one stream in decoding order. extradata: the stream's, as hvcC or Annex B."""

    def __init__(self, extradata: bytes):
        is_record = extradata[:1] == b"\1" and len(extradata) > 23
        self.length_size = (extradata[21] & 3) + 1 if is_record else 0
        nals = _hvcc_nals(extradata) if is_record else split_nals(extradata, 0)
        self._parameter_sets = {nal for nal in nals if _kind(nal) in (VPS, SPS, PPS)}
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, _Pps] = {}
        for nal in sorted(self._parameter_sets, key=_kind):
            self._learn(nal)
        self._held: set[int] = set()  # picture order counts that a decoder holds as references
        self._left_out: set[int] = set()
        self._base_order = 0  # of the last picture of the base layer that others may refer to, section 8.3.1
        self._is_first = True
        self._period = 0  # IDR and BLA pictures so far: what comes before one is shown before it

    def _learn(self, nal: bytes) -> None:
        if _kind(nal) == VPS:
            return
        bits = parameters(nal, 2)
        key, value = read_sps(bits) if _kind(nal) == SPS else _read_pps(bits)
        known = self._sps if _kind(nal) == SPS else self._pps
        if key in known:
            raise BitsError("it has several parameter sets of one number")
        known[key] = value

    def look(self, data: bytes) -> PacketFacts:
        """Facts of the next packet. BitsError where the stream is not one that frames can be left out of."""
        slices, others = [], set()
        for nal in split_nals(data, self.length_size):
            kind = _kind(nal)
            if len(nal) < 3 or (nal[0] & 1) << 5 | nal[1] >> 3:
                raise BitsError("it has several layers")
            if kind < VPS:
                slices.append(nal)
                continue
            if kind in (VPS, SPS, PPS) and nal not in self._parameter_sets:
                raise BitsError("its parameter sets change")
            if kind not in HARMLESS | {VPS, SPS, PPS}:
                raise BitsError(f"it has NAL units of type {kind}")
            if kind in SEI:
                check_sei(nal, 2)
            others.add(kind)
        kinds = {_kind(nal) for nal in slices}
        firsts = [nal[2] >> 7 for nal in slices]  # first_slice_segment_in_pic_flag
        if len(kinds) != 1 or not firsts[0] or sum(firsts) != 1:
            raise BitsError("it has packets that are not one frame")
        kind = kinds.pop()
        is_start = FIRST_IRAP <= kind <= LAST_IRAP
        try:
            order, refs, sps = self._slice_header(slices[0], kind)
        except (KeyError, IndexError) as error:
            raise BitsError("it has frames without parameter sets") from error
        self._period += kind in IDR or kind in BLA
        in_order, top_layer = self._follow(slices[0], kind, (order, refs, sps))
        droppable = in_order and top_layer and kind in NOT_REFERENCED and others <= HARMLESS
        return PacketFacts(is_start, droppable, order_in_period(self._period, order), in_order)

    def _follow(self, nal: bytes, kind: int, header: tuple[int, RefSet, Sps]) -> tuple[bool, bool]:
        """(whether every picture that this one uses is held, whether it is of the top layer), after section 8.3.2."""
        order, refs, sps = header
        layer = (nal[1] & 7) - 1
        if layer == 0 and kind not in LEADING and kind not in NOT_REFERENCED:
            self._base_order = order
        self._is_first = False
        if kind in IDR or kind in BLA:
            self._held, self._left_out = set(), set()
        wanted = {order + difference for difference, _ in refs}
        used = {order + difference for difference, is_used in refs if is_used}
        in_order = used <= self._held and not wanted & self._left_out and not sps.long_term
        self._held &= wanted
        top_layer = layer == sps.top_layer
        (self._left_out if top_layer and kind in NOT_REFERENCED else self._held).add(order)
        return in_order, top_layer

    def _slice_header(self, nal: bytes, kind: int) -> tuple[int, RefSet, Sps]:
        """(picture order count, reference pictures, its sequence parameter set), section 7.3.6.1."""
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
            return 0, (), sps
        low = bits.bits(sps.order_bits)
        order = low if kind in BLA or self._is_first else nearest_order(low, self._base_order, 1 << sps.order_bits)
        if not bits.flag():
            return order, read_ref_set(bits, sps.ref_sets, in_slice=True), sps
        return order, sps.ref_sets[bits.bits((len(sps.ref_sets) - 1).bit_length())], sps


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
