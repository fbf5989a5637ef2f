"""Interlaced H.264 whose frames are coded as two fields each, which no encoder at hand makes: written bit by bit.

Frames of 64x64; each macroblock is raw samples or a copy of what the field before shows. ITU-T H.264, section 7.3.
"""

from fractions import Fraction
from pathlib import Path

import av

WIDTH, HEIGHT = 4, 4  # in macroblocks
GROUP = 12  # frames from one IDR picture to the next
FRAME_NUM_BITS, ORDER_BITS = 4, 8
INTRA, PREDICTED = 7, 5  # slice_type
RAW_MACROBLOCK = 25  # mb_type of I_PCM; in predicted slices 5 more


class Bits:
    """Bits in the order in which they are written."""

    def __init__(self):
        self.text = ""

    def u(self, value: int, count: int) -> "Bits":
        self.text += f"{value:0{count}b}"
        return self

    def ue(self, *values: int) -> "Bits":
        for value in values:
            self.text += f"{value + 1:b}".zfill(2 * (value + 1).bit_length() - 1)
        return self

    def align(self) -> "Bits":
        self.text += "0" * (-len(self.text) % 8)
        return self

    def unit(self, header: int) -> bytes:
        """The NAL unit, behind a start code, with emulation prevention."""
        self.u(1, 1).align()
        data, escaped, zeros = int(self.text, 2).to_bytes(len(self.text) // 8, "big"), bytearray([header]), 0
        for byte in data:
            if zeros >= 2 and byte <= 3:
                escaped.append(3)
                zeros = 0
            escaped.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes(escaped)


def parameter_sets() -> bytes:
    sps = Bits().u(77, 8).u(0, 8).u(30, 8).ue(0, FRAME_NUM_BITS - 4, 0, ORDER_BITS - 4, 4).u(0, 1)
    sps.ue(WIDTH - 1, HEIGHT // 2 - 1).u(0, 1).u(0, 1).u(1, 1).u(0, 1).u(0, 1)
    pps = Bits().ue(0, 0).u(0, 2).ue(0, 0, 0).u(0, 3).ue(0, 0, 0).u(1, 1).u(0, 2)
    return sps.unit(0x67) + pps.unit(0x68)


def picture(number: int, order: int, frame_num: int, **kind) -> bytes:
    """One NAL unit: a field (parity 0 top, 1 bottom) or a frame (None). number: what its raw macroblocks show.

    kind: parity, is_idr, is_reference, is_intra.
    """
    parity, is_idr, is_reference = kind["parity"], kind["is_idr"], kind["is_reference"]
    is_intra = kind["is_intra"]
    bits = Bits().ue(0, INTRA if is_intra else PREDICTED, 0).u(frame_num % 2**FRAME_NUM_BITS, FRAME_NUM_BITS)
    bits.u(parity is not None, 1)
    if parity is not None:
        bits.u(parity, 1)
    if is_idr:
        bits.ue(number % 2)
    bits.u(order % 2**ORDER_BITS, ORDER_BITS)
    if not is_intra:
        bits.u(0, 2)  # the usual number of references, in the usual order
    if is_reference:
        bits.u(0, 2 if is_idr else 1)
    bits.ue(0, 1)  # no change of the quantizer, no filter
    _write_macroblocks(bits, number, is_intra, WIDTH * HEIGHT // (1 if parity is None else 2))
    return bits.unit((is_reference << 5) | (5 if is_idr else 1))


def _write_macroblocks(bits: Bits, number: int, is_intra: bool, count: int) -> None:
    raw = set(range(count)) if is_intra else {number % count, (number * 5 + 1) % count}
    skipped = 0
    for at in range(count):
        if at not in raw:
            skipped += 1
            continue
        if not is_intra:
            bits.ue(skipped)
            skipped = 0
        bits.ue(RAW_MACROBLOCK if is_intra else RAW_MACROBLOCK + 5).align()
        for n in range(384):
            bits.u(16 + (number * 29 + at * 7 + n * 3) % 200, 8)
    if skipped:
        bits.ue(skipped)


def pictures(num_frames: int, frame_coded: int = 0, bottom_first: bool = False) -> list[tuple[int, list[bytes]]]:
    """(place in the order of output, NAL units: two fields or one frame) of each frame, in decoding order.

    Of three frames two are not referred to, and come out before the one that is. frame_coded: every so many is one
    picture instead of two fields; 0 for none.
    """
    found, frame_num = [], 0
    shown_in_order = [n for first in range(0, num_frames, 3) for n in (first, first - 2, first - 1) if n >= 0]
    for count, n in enumerate(n for n in _by_groups(shown_in_order) if n < num_frames):
        is_idr, is_reference, place = n % GROUP == 0, n % 3 == 0, n % GROUP
        frame_num = 0 if is_idr else frame_num
        shared = {"is_reference": is_reference}
        if frame_coded and count % frame_coded == 1:
            units = [picture(n, 2 * place, frame_num, parity=None, is_idr=is_idr, is_intra=is_idr, **shared)]
        else:
            units = [
                picture(2 * n + second, 2 * place + second, frame_num, parity=second ^ bottom_first,
                        is_idr=is_idr and not second, is_intra=is_idr and not second, **shared)
                for second in (0, 1)
            ]  # fmt: skip
        frame_num += is_reference
        found.append((n, units))
    return found


def _by_groups(numbers: list[int]) -> list[int]:
    """Frames of one group do not come after the next IDR picture."""
    return sorted(numbers, key=lambda n: n // GROUP)


def write_fields(path: Path, num_frames: int, apart: bool = False, **settings) -> Path:
    """A video of such frames at 25 per second. apart: each field is a packet of its own. settings: of pictures()."""
    raw = path.with_suffix(".sets.h264")
    raw.write_bytes(parameter_sets() + b"".join(b"".join(units) for _, units in pictures(12)))
    with av.open(str(raw)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, 50)
        for count, (n, units) in enumerate(pictures(num_frames, **settings)):
            sets = parameter_sets() if n % GROUP == 0 else b""
            parts = units if apart else [b"".join(units)]
            for half, part in enumerate(parts):
                packet = av.Packet(part if half else sets + part)
                packet.stream, packet.time_base = stream, Fraction(1, 50)
                packet.pts, packet.dts, packet.duration = 2 * n + half, 2 * count + half - 4, 2 // len(parts)
                packet.is_keyframe = n % GROUP == 0 and not half
                out.mux(packet)
    raw.unlink()
    return path
