"""Dependencies between H.264 packets, from their headers. Pure arithmetic on bytes.

Section and table numbers: ITU-T H.264. Anything unexpected raises BitsError, and the video is decoded completely.
"""

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
from embedonce.pipeline.video.headers.h264_slices import IDR_SLICE, Half, Slice, Sps, fields_of, is_whole
from embedonce.pipeline.video.packets import PacketFacts

SLICE, SEI, SPS, PPS, DELIMITER, FILLER = 1, 6, 7, 8, 9, 12  # nal_unit_type, table 7-1
ENDS = {10, 11}  # end of sequence, end of stream: without effect before an IDR picture or at the end
HEADER_BYTES, USUAL_HEADER_BYTES = 40, 12  # of a slice: more than is read of any, and of most
HARMLESS = {SEI, DELIMITER, FILLER}  # other units of a skipped frame: they do not affect later frames
WITH_CHROMA_FORMAT = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # profile_idc, section 7.3.2.1.1


class H264Inspector:
    """Inspects the packets of one stream in decoding order. extradata: avcC or Annex B."""

    def __init__(self, extradata: bytes):
        self.length_size = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 6 else 0
        nals = _avcc_nals(extradata) if self.length_size else split_nals(extradata, 0)
        self._parameter_sets = {nal.rstrip(b"\0") for nal in nals if nal[0] & 31 in (SPS, PPS)}
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, int] = {}
        for nal in sorted(self._parameter_sets, key=lambda nal: nal[0] & 31):
            self._learn(nal)
        self.has_orientations = False  # whether some packet contains a display orientation
        self._previous_reference = 0  # frame_num of the last reference frame, section 7.4.3
        self._base_order = 0  # PicOrderCnt of the last reference frame, section 8.2.1.1
        self._period = 0  # IDR pictures so far: earlier packets are displayed earlier
        self._count = 0  # frames so far
        self._ended = False  # whether the previous packet ended the sequence
        self._half: Half | None = None  # the previous packet, if it was a first field
        self.fallback_reason: str | None = None  # why no frames can be skipped although their output order is known

    def _learn(self, nal: bytes) -> None:
        bits = parameters(nal, 1)
        if nal[0] & 31 == SPS:
            add_once(self._sps, *_read_sps(bits))
        else:
            add_once(self._pps, *bits.exp_golombs(2))

    def look(self, data: bytes) -> PacketFacts:
        """Facts about the next packet. BitsError if frames of this stream cannot be skipped."""
        nals = split_nals(data, self.length_size)
        slices, others = self._sorted(nals)
        is_start, is_reference = slices[0][0] & 31 == IDR_SLICE, slices[0][0] & 0x60 > 0
        if self._ended or others & ENDS:
            self._check_end([nal[0] & 31 for nal in nals], is_start)
        try:
            headers = [self._slice_header(nal) for nal in slices]
        except KeyError as error:
            raise BitsError("it has frames without parameter sets") from error
        fields = [headers] if len(headers) == 1 else fields_of(headers, slices)
        if self._half is not None:
            return self._second_half(self._half, fields, is_start, is_reference)
        follows_gap = self._follows_gap(headers[0], is_start)
        in_order = self._in_order(fields, is_start, is_reference)
        droppable = not is_reference and not is_start and in_order and others <= HARMLESS
        if headers[0].parity is not None and len(fields) == 1:
            self._half = Half(headers[0].parity, headers[0].number, is_reference)
            self.fallback_reason = "its fields are in separate packets"
        return PacketFacts(
            is_start, droppable, self._order(fields, is_start, is_reference), in_order, follows_gap=follows_gap
        )

    def _sorted(self, nals: list[bytes]) -> tuple[list[bytes], set[int]]:
        """(slices, types of the other units) of a packet."""
        slices, others = [], set()
        for nal in nals:
            kind = nal[0] & 31
            if kind in (SLICE, IDR_SLICE):
                slices.append(nal)
            else:
                self._check(nal, kind)
                others.add(kind)
        if not slices:
            raise BitsError("a packet does not hold exactly one frame")
        return slices, others

    @property
    def is_half(self) -> bool:
        """Whether the last packet was a first field."""
        return self._half is not None

    def _second_half(self, half: Half, fields: list[list[Slice]], is_start: bool, is_reference: bool) -> PacketFacts:
        """Facts about a packet after a first field: it produces no frame of its own."""
        first = fields[0][0]
        is_other = len(fields) == 1 and first.parity is not None and first.parity != half.parity
        if not is_other or is_start or (first.number, is_reference) != (half.number, half.is_reference):
            raise BitsError("it has a first field without a second one")
        in_order = is_whole(fields[0])
        self._half = None
        order = self._add_order(first, is_reference)
        order = order_in_period(self._period, order)
        return PacketFacts(False, not is_reference, order, in_order, is_shown=False, is_half=True)

    def _check(self, nal: bytes, kind: int) -> None:
        """BitsError for units besides slices that could affect later frames."""
        if kind in (SPS, PPS) and nal.rstrip(b"\0") not in self._parameter_sets:
            raise BitsError("its parameter sets change")
        if kind not in HARMLESS | ENDS | {SPS, PPS}:
            raise BitsError(f"it has NAL units of type {kind}")
        if kind == SEI:
            self.has_orientations |= check_sei(nal, 1)

    def _follows_gap(self, header: Slice, is_start: bool) -> bool:
        """Whether reference frames before this one are missing: its number is neither the last nor the next."""
        steps = (header.number - self._previous_reference) % (1 << header.sps.frame_num_bits)
        return steps > 1 and not is_start and not header.sps.allows_gaps and self._count > 0

    def _check_end(self, kinds: list[int], is_start: bool) -> None:
        """BitsError if the sequence continues after its end. kinds: the types of the units of a packet that may contain
        an end.
        """
        ends_before, ends_after = sequence_ends(kinds, (SLICE, IDR_SLICE), ENDS)
        if (self._ended or ends_before) and not is_start:
            raise BitsError("it continues after an end of sequence")
        self._ended = ends_after

    def _in_order(self, fields: list[list[Slice]], is_start: bool, is_reference: bool) -> bool:
        """Whether the frame has the expected number and is complete: no frame was lost before it."""
        _, number, _, sps, _ = fields[0][0]
        due = 0 if is_start else (self._previous_reference + 1) % (1 << sps.frame_num_bits)
        if is_reference:
            self._previous_reference = number
        return number == due and all(is_whole(field) for field in fields)

    def _order(self, fields: list[list[Slice]], is_start: bool, is_reference: bool) -> int:
        """A number that increases in output order: PicOrderCnt within a period, section 8.2.1.

        fields: the slices of a frame, of one field or of two fields. A frame's number is the smaller one of its fields'
        numbers.
        """
        self._count += 1
        self._period += is_start
        if is_start:
            self._base_order = 0
        return order_in_period(self._period, min([self._add_order(field[0], is_reference) for field in fields]))

    def _add_order(self, picture: Slice, is_reference: bool) -> int:
        """PicOrderCnt of the next picture; a counter if output order is decoding order."""
        if picture.sps.order_bits is None:
            return self._count
        order = nearest_order(picture.order_low, self._base_order, 1 << picture.sps.order_bits)
        if is_reference:
            self._base_order = order
        return order

    def _slice_header(self, nal: bytes) -> Slice:
        try:
            return self._read_header(nal, USUAL_HEADER_BYTES)
        except BitsError:
            return self._read_header(nal, HEADER_BYTES)

    def _read_header(self, nal: bytes, limit: int) -> Slice:
        """Section 7.3.3, up to pic_order_cnt_lsb, from the first `limit` bytes. BitsError if those are too few."""
        bits = payload(nal, 1, limit)
        first_position, _slice_type, pps_id = bits.exp_golombs(3)
        sps = self._sps[self._pps[pps_id]]
        if sps.separate_planes:
            bits.bits(2)
        number = bits.bits(sps.frame_num_bits)
        parity = bits.bits(1) if not sps.frames_only and bits.flag() else None
        if nal[0] & 31 == IDR_SLICE:
            bits.exp_golomb()  # idr_pic_id
        return Slice(first_position, number, bits.bits(sps.order_bits or 0), sps, parity)


def _read_sps(bits: BitReader) -> tuple[int, Sps]:
    """(seq_parameter_set_id, fields) up to frame_mbs_only_flag, section 7.3.2.1.1."""
    profile = bits.bits(8)
    bits.bits(16)  # constraint flags, level
    sps_id = bits.exp_golomb()
    separate_planes = False
    if profile in WITH_CHROMA_FORMAT:
        chroma_format = bits.exp_golomb()
        separate_planes = chroma_format == 3 and bits.flag()
        bits.exp_golomb(), bits.exp_golomb(), bits.flag()  # bit depths, transform bypass
        if bits.flag():
            for i in range(12 if chroma_format == 3 else 8):
                _skip_scaling_list(bits, 16 if i < 6 else 64)
    frame_num_bits = bits.exp_golomb() + 4
    order_type = bits.exp_golomb()
    if order_type not in (0, 2):
        raise BitsError("its picture order count type is 1")
    order_bits = bits.exp_golomb() + 4 if order_type == 0 else None
    bits.exp_golomb()  # references
    allows_gaps = bits.flag()
    bits.exp_golombs(2)  # width, height
    return sps_id, Sps(frame_num_bits, order_bits, separate_planes, bits.flag(), allows_gaps)


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    """Section 7.3.2.1.1.1."""
    if not bits.flag():
        return
    last = scale = 8
    for _ in range(size):
        if scale:
            code = bits.exp_golomb()
            scale = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        last = scale or last


def _avcc_nals(extradata: bytes) -> list[bytes]:
    """The parameter sets of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1)."""
    nals, at = [], 6
    count = extradata[5] & 31
    for _ in range(2):
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            nals.append(extradata[at + 2 : at + 2 + size])
            at += 2 + size
        count, at = (extradata[at], at + 1) if at < len(extradata) else (0, at)
    if any(not nal for nal in nals):
        raise BitsError("its parameter sets are damaged")
    return nals
