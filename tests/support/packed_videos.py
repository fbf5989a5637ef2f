"""MPEG-4 Part 2 in AVI as DivX packs it: a B picture travels in the packet of the one after it in order of output."""

from fractions import Fraction
from pathlib import Path

import av

from embedonce.pipeline.video.headers.mpeg4 import _find_layer
from tests.support.videos import write_video

MARK = b"\0\0\1\xb2DivX503b1393p"  # user data: the encoder, and that it packs
PICTURE = b"\0\0\1\xb6"


def write_packed(path: Path, num_frames: int, mark: bytes = MARK, gop: int = 12) -> Path:
    """A video of this many frames at 2 ticks of the time base, B pictures between all others."""
    plain = write_video(path.with_suffix(".plain.mp4"), num_frames, codec="mpeg4", gop=gop, b_frames=1, ticks=30)
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        template = source.streams.video[0]
        headers = bytes(template.codec_context.extradata)
        stream = out.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = template.width, template.height, "yuv420p"
        nothing = _not_coded(_find_layer(headers).time_bits)
        parts = _packed([bytes(packet) for packet in source.demux(template) if packet.size], nothing)
        for n, part in enumerate(parts):
            packet = av.Packet((headers + mark if not n else b"") + part)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 30), n, n
            packet.is_keyframe = _kind(part) == 0
            out.mux(packet)
    plain.unlink()
    return path


def _not_coded(time_bits: int) -> bytes:
    """A P picture whose vop_coded is 0, for a decoder to have a packet where the B picture is due."""
    bits = "01" + "01" + "0" * time_bits + "10" + "0"
    bits += "1" * (-len(bits) % 8)
    return PICTURE + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _packed(pictures: list[bytes], nothing: bytes) -> list[bytes]:
    """I, P, B, P, B → I, P and B, nothing, P and B, nothing."""
    found: list[bytes] = []
    for picture in pictures:
        if _kind(picture) == 2:
            found[-1] += picture[picture.find(PICTURE) :]
            found.append(nothing)
        else:
            found.append(picture)
    return found


def _kind(packet: bytes) -> int:
    """vop_coding_type of the first picture: 0 I, 1 P, 2 B."""
    return packet[packet.find(PICTURE) + 4] >> 6
