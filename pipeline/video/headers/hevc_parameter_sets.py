"""HEVC sequence parameter sets and reference picture sets, as far as slice headers need them. Pure arithmetic on bits.

Section numbers: ITU-T H.265.
"""

from dataclasses import dataclass

from embedonce.pipeline.video.headers.bits import BitReader, BitsError

RefSet = tuple[tuple[int, bool], ...]  # (difference of picture order counts, used by this very picture)


@dataclass(frozen=True)
class Sps:
    """The fields of a sequence parameter set that slice headers refer to."""

    separate_planes: bool
    order_bits: int
    top_layer: int
    ref_sets: tuple[RefSet, ...]
    has_long_terms: bool
    long_terms: RefSet  # (low bits of a picture order count, used by the picture that names it)


def read_sps(bits: BitReader) -> tuple[int, Sps]:
    """(sps_seq_parameter_set_id, fields), section 7.3.2.2."""
    bits.bits(4)
    top_layer = bits.bits(3)
    bits.flag()
    _skip_profile(bits, top_layer)
    sps_id, chroma_format = bits.exp_golomb(), bits.exp_golomb()
    separate_planes = chroma_format == 3 and bits.flag()
    _skip_codes(bits, 2)  # width, height
    if bits.flag():
        _skip_codes(bits, 4)  # conformance window
    _skip_codes(bits, 2)  # bit depths
    order_bits = bits.exp_golomb() + 4
    _skip_codes(bits, 3 * (top_layer + 1 if bits.flag() else 1))
    _skip_codes(bits, 6)  # sizes of blocks
    if bits.flag() and bits.flag():
        _skip_scaling_lists(bits)
    bits.bits(2)  # asymmetric partitions, sample adaptive offset
    if bits.flag():
        bits.bits(8), bits.exp_golomb(), bits.exp_golomb(), bits.flag()  # PCM
    count = bits.exp_golomb()
    if count > 64:
        raise BitsError("too many reference picture sets")
    ref_sets: tuple[RefSet, ...] = ()
    for _ in range(count):
        ref_sets += (read_ref_set(bits, ref_sets, in_slice=False),)
    has_long_terms = bits.flag()
    long_terms = _read_long_terms(bits, order_bits) if has_long_terms else ()
    return sps_id, Sps(separate_planes, order_bits, top_layer, ref_sets, has_long_terms, long_terms)


def _read_long_terms(bits: BitReader, order_bits: int) -> RefSet:
    count = bits.exp_golomb()
    if count > 32:
        raise BitsError("too many reference pictures")
    return tuple((bits.bits(order_bits), bits.flag()) for _ in range(count))


def read_ref_set(bits: BitReader, known: tuple[RefSet, ...], in_slice: bool) -> RefSet:
    """st_ref_pic_set, sections 7.3.7 and 7.4.8. known: the sets before it; all of them for one in a slice header."""
    if known and bits.flag():
        back = bits.exp_golomb() + 1 if in_slice else 1
        sign, size = bits.bits(1), bits.exp_golomb() + 1
        shift = -size if sign else size
        found = []
        for difference in (*(difference for difference, _ in known[len(known) - back]), 0):
            is_used = bits.flag()
            if is_used or bits.flag():
                found.append((difference + shift, is_used))
        # The order decides which flag the next prediction reads first: nearest before, then nearest after
        found = [entry for entry in found if entry[0]]
        return (*sorted((e for e in found if e[0] < 0), reverse=True), *sorted(e for e in found if e[0] > 0))
    counts, found = (bits.exp_golomb(), bits.exp_golomb()), []
    if sum(counts) > 16:
        raise BitsError("too many reference pictures")
    for count, sign in zip(counts, (-1, 1), strict=True):
        difference = 0
        for _ in range(count):
            difference += sign * (bits.exp_golomb() + 1)
            found.append((difference, bits.flag()))
    return tuple(found)


def _skip_codes(bits: BitReader, count: int) -> None:
    for _ in range(count):
        bits.exp_golomb()


def _skip_profile(bits: BitReader, top_layer: int) -> None:
    """profile_tier_level, section 7.3.3."""
    bits.bits(96)
    present = [(bits.flag(), bits.flag()) for _ in range(top_layer)]
    if top_layer:
        bits.bits(2 * (8 - top_layer))
    for has_profile, has_level in present:
        bits.bits(88 * has_profile + 8 * has_level)


def _skip_scaling_lists(bits: BitReader) -> None:
    """scaling_list_data, section 7.3.4."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not bits.flag():
                bits.exp_golomb()
            else:
                _skip_codes(bits, min(64, 16 << 2 * size) + (size > 1))
