"""Packet headers, against videos of known structure and headers written by hand."""

from types import SimpleNamespace

import av
import pytest

from embedonce.pipeline.video.container import open_video
from embedonce.pipeline.video.headers.bits import BitReader, BitsError, check_sei, payload, split_nals
from embedonce.pipeline.video.headers.h264 import H264Inspector
from embedonce.pipeline.video.headers.hevc import HevcInspector
from embedonce.pipeline.video.headers.hevc_parameter_sets import read_ref_set
from embedonce.pipeline.video.headers.vpx_av1 import Av1Inspector, Vp8Inspector, Vp9Inspector
from embedonce.pipeline.video.packet_collector import PacketCollector
from tests.support.videos import write_video

FLAT = {"gop": 30, "b_frames": 3, "options": {"x264-params": "b-pyramid=none:b-adapt=0:scenecut=0"}}
HEVC = {"codec": "libx265", "gop": 30, "options": {"x265-params": "log-level=none:scenecut=0:b-adapt=0:bframes=3"}}


def packets_and_extradata(path) -> tuple[list[bytes], bytes]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [bytes(p) for p in container.demux(stream) if p.size], bytes(stream.codec_context.extradata or b"")


def facts(inspector, packets) -> list:
    return [inspector.look(packet) for packet in packets]


@pytest.mark.parametrize(("kind", "settings"), [(H264Inspector, FLAT), (HevcInspector, HEVC)])
@pytest.mark.integration
def test_a_lost_reference_is_detected_and_a_lost_unreferenced_frame_changes_nothing(tmp_path, kind, settings):
    packets, extradata = packets_and_extradata(write_video(tmp_path / "v.mp4", 60, **settings))
    found = facts(kind(extradata), packets)
    assert all(fact.in_order for fact in found) and sum(fact.is_start for fact in found) == 2
    references = [n for n, fact in enumerate(found) if not fact.droppable]
    droppable = [n for n, fact in enumerate(found) if fact.droppable]
    assert len(droppable) >= 28
    lost = packets[: references[2]] + packets[references[2] + 1 :]
    assert not all(fact.in_order for fact in facts(kind(extradata), lost)[: references[4]])
    without = [packet for n, packet in enumerate(packets) if n not in droppable]
    assert all(fact.in_order for fact in facts(kind(extradata), without))


def test_only_frames_of_the_top_layer_are_droppable(tmp_path):
    packets, extradata = packets_and_extradata(write_video(tmp_path / "v.mp4", 30, **HEVC))
    n = next(n for n, fact in enumerate(facts(HevcInspector(extradata), packets)) if fact.droppable)
    changed = bytearray(packets[n])
    changed[5] = (
        changed[5] & 0xF8 | 2
    )  # nuh_temporal_id_plus1, behind four bytes of length: a layer that is not the top
    assert not facts(HevcInspector(extradata), [*packets[:n], bytes(changed)])[n].droppable


@pytest.mark.parametrize(
    ("kind", "settings"), [(H264Inspector, FLAT), (HevcInspector, {"codec": "libx265", "gop": 30})]
)
def test_parameter_sets_that_are_not_the_streams_own_lead_to_a_full_decode(tmp_path, kind, settings):
    packets, extradata = packets_and_extradata(write_video(tmp_path / "a.ts", 10, **settings))
    others, _ = packets_and_extradata(write_video(tmp_path / "b.ts", 10, **(settings | {"size": (96, 240)})))
    assert facts(kind(extradata), packets)[0].is_start
    with pytest.raises(BitsError, match="its parameter sets change"):
        facts(kind(extradata), others)


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        (Vp8Inspector, "libvpx", {"deadline": "realtime"}),
        (Vp9Inspector, "libvpx-vp9", {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"}),
        (Av1Inspector, "libsvtav1", {"preset": "12"}),
    ],
)
@pytest.mark.integration
def test_key_frames_and_they_alone_are_entry_points(tmp_path, kind, codec, options):
    size = (128, 320) if codec == "libsvtav1" else (64, 160)
    path = write_video(tmp_path / "v.mkv", 60, codec=codec, gop=20, b_frames=None, options=options, size=size)
    with av.open(str(path)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    packets, extradata = packets_and_extradata(path)
    found = facts(kind(extradata), packets)
    assert [fact.is_start for fact in found] == keys and 3 <= sum(keys) < 10
    assert not any(fact.droppable for fact in found)


def test_packets_whose_container_announces_new_parameters_lead_to_a_full_decode(tmp_path):
    class Packet:
        pts, dts, pos, duration, is_keyframe, is_discard, is_corrupt = 0, 0, 0, 1, True, False, False

        def __bytes__(self):
            return b""

        def has_sidedata(self, kind):
            return False

        def iter_sidedata(self):
            return [SimpleNamespace(data_type="new_extradata")]

    with open_video(write_video(tmp_path / "v.mp4", 2), "software") as (_, stream):
        collector = PacketCollector(stream)
        collector.add(Packet())
        assert collector.fallback_reason == "its parameters change"
        collector = PacketCollector(stream)
        Packet.is_corrupt = True
        collector.add(Packet())
        assert collector.fallback_reason == "the container marks packets as corrupt"


def test_one_thread_decodes(tmp_path):
    with open_video(write_video(tmp_path / "v.mp4", 2), "software") as (_, stream):
        assert stream.codec_context.thread_count == 1 and str(stream.codec_context.thread_type.name) == "NONE"


# -- bits --------------------------------------------------------------------------------------------------------------


def test_bits_and_exp_golomb_codes():
    reader = BitReader(bytes([0b10100110, 0b01000010, 0b10000000]))
    assert [reader.exp_golomb() for _ in range(5)] == [0, 1, 2, 3, 4]  # 1 010 011 00100 00101
    with pytest.raises(BitsError):
        reader.bits(10)
    with pytest.raises(BitsError, match="too large"):
        BitReader(bytes(9)).exp_golomb()


def test_nal_units_by_length_and_by_start_code():
    lengths = bytes([0, 0, 0, 2, 9, 8, 0, 0, 0, 1, 7])
    codes = bytes([0, 0, 0, 1, 9, 8, 0, 0, 1, 7, 0])
    for data, size in ((lengths, 4), (codes, 0)):
        assert [bytes(nal) for nal in split_nals(data, size)] == [b"\x09\x08", b"\x07"]
    for data, size in ((lengths[:-1], 4), (bytes(4), 4), (b"\x05\0\0\1\7", 0), (b"\7", 0)):
        with pytest.raises(BitsError):
            split_nals(data, size)
    assert payload(b"\x65\0\0\3\1", 1).bits(24) == 1  # the emulation prevention byte is taken out


def bits_of(code: str) -> BitReader:
    code = code.replace(" ", "")
    return BitReader(int(code.ljust(64, "0"), 2).to_bytes(8, "big"))


def test_reference_sets_of_hevc():
    """By hand after ITU-T H.265, sections 7.3.7 and 7.4.8."""
    # two before (1 back used, 1 more not), one after (2 on, used)
    explicit = read_ref_set(bits_of("011 010  1 1  1 0  010 1"), (), in_slice=False)
    assert explicit == ((-1, True), (-2, False), (2, True))
    # predicted: negative, by 1; flags of -1, -2 (not used, but kept), 2 (dropped) and of that set's own picture
    predicted = "1 {} 1 1  1 01 00 1"
    expected = ((-1, True), (-2, True), (-3, False))
    assert read_ref_set(bits_of(predicted.format("")), (explicit,), in_slice=False) == expected
    assert read_ref_set(bits_of(predicted.format("010")), (explicit, ()), in_slice=True) == expected


def test_units_inside_other_units_lead_to_a_full_decode():
    """FFmpeg looks for start codes inside length-prefixed units too."""
    hidden = b"\x01\x9a\0\0\1\x68\xce"
    with pytest.raises(BitsError, match="contain start codes"):
        split_nals(len(hidden).to_bytes(4, "big") + hidden, 4)


@pytest.mark.parametrize("header", [b"\x06", b"\x4e\x01"])
def test_film_grain_leads_to_a_full_decode_and_other_messages_do_not(header):
    def sei(*messages):
        return header + b"".join(bytes([kind, len(data)]) + data for kind, data in messages) + b"\x80"

    check_sei(sei((5, bytes(range(1, 17))), (137, bytes(24))), len(header))
    for messages in ([(19, b"\1\2")], [(5, b"x" * 20), (19, b"")], [(4, b"\xb5\x58\x90\0\1")]):
        with pytest.raises(BitsError, match="film grain"):
            check_sei(sei(*messages), len(header))
    check_sei(sei((4, b"\xb5\0\x3c\0\1")), len(header))  # another T.35 message: HDR10+
    check_sei(header + b"\xff" * 50, len(header))


@pytest.mark.parametrize(
    ("kind", "settings", "header"), [(H264Inspector, FLAT, b"\x06"), (HevcInspector, HEVC, b"\x4e\x01")]
)
def test_a_packet_that_asks_for_film_grain_leads_to_a_full_decode(tmp_path, kind, settings, header):
    packets, extradata = packets_and_extradata(write_video(tmp_path / "v.mp4", 10, **settings))
    for message, is_doubted in ((5, False), (19, True)):
        sei = header + bytes([message, 2, 1, 2, 0x80])
        packet = len(sei).to_bytes(4, "big") + sei + packets[0]
        if is_doubted:
            with pytest.raises(BitsError, match="film grain"):
                kind(extradata).look(packet)
        else:
            assert kind(extradata).look(packet).is_start


@pytest.mark.parametrize(("kind", "settings"), [(H264Inspector, FLAT), (HevcInspector, HEVC)])
def test_parameter_sets_that_share_a_number_lead_to_a_full_decode(tmp_path, kind, settings):
    _, first = packets_and_extradata(write_video(tmp_path / "a.ts", 4, **settings))
    _, second = packets_and_extradata(write_video(tmp_path / "b.ts", 4, **(settings | {"size": (96, 240)})))
    kind(first), kind(first + first)
    with pytest.raises(BitsError, match="have the same number"):
        kind(first + second)


def test_absurdly_long_parameter_sets_lead_to_a_full_decode_at_once():
    with pytest.raises(BitsError, match="too long"):
        H264Inspector(b"\0\0\1\x67\x64" + b"\xaa" * 300_000)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("v.mp4", FLAT),
        ("v.mp4", {"gop": 40, "b_frames": 5, "options": {"x264-params": "b-pyramid=normal:open-gop=1"}}),
        ("v.mp4", HEVC),
        ("v.mkv", {"codec": "libx265", "gop": 20}),
    ],
)
@pytest.mark.integration
def test_the_order_of_output_is_read_from_the_headers(tmp_path, name, settings):
    path = write_video(tmp_path / name, 200, **settings)
    packets, extradata = packets_and_extradata(path)
    kind = HevcInspector if settings.get("codec") else H264Inspector
    order = [fact.order for fact in facts(kind(extradata), packets)]
    with av.open(str(path)) as container:
        pts = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert sorted(range(200), key=order.__getitem__) == sorted(range(200), key=pts.__getitem__)
    assert pts != sorted(pts)


def test_damaged_parameter_sets_lead_to_a_full_decode():
    for extradata in (b"\1dd", b"\1" + bytes(5) + b"\xe1\0\x20", bytes(10)):
        with pytest.raises((BitsError, IndexError)):
            H264Inspector(extradata).look(b"\0\0\0\1\x65\x88\x84")
