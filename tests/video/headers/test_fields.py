"""Interlaced H.264: two fields per frame, in one packet or in two."""

import av
import numpy as np
import pytest

from embedonce.pipeline.video import output_order
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.headers.bits import BitsError
from embedonce.pipeline.video.headers.h264 import H264Inspector
from tests.support.field_videos import parameter_sets, picture, pictures, write_fields
from tests.support.videos import digest, full_decode, sample

TOGETHER = [("v.mp4", {}), ("v.mp4", {"frame_coded": 3}), ("v.mkv", {"bottom_first": True})]
APART = [("v.mp4", {}), ("v.mp4", {"frame_coded": 3}), ("v.mkv", {"bottom_first": True}), ("v.ts", {})]
FIELD = {"is_reference": True, "is_idr": False, "is_intra": False}


@pytest.fixture
def never_decoded_by_the_scan(monkeypatch):
    def refuse(*_):
        raise AssertionError("the scan decodes the video")

    monkeypatch.setattr(output_order, "_output_order", refuse)


@pytest.mark.usefixtures("never_decoded_by_the_scan")
@pytest.mark.parametrize(("file", "settings"), TOGETHER)
@pytest.mark.integration
def test_frames_of_two_fields_in_one_packet_are_skipped_if_no_frame_depends_on_them(tmp_path, file, settings):
    path = write_fields(tmp_path / file, 40, **settings)
    decoded = full_decode(path)
    assert len({found for _, found in decoded}) == 40
    sampled = sample(path, 5.0)
    assert sampled.way == "skipping" and sampled.num_fed < 20 and sampled.timeline.notes == ()
    assert sampled.digests == {i: decoded[n][1] for i, n in enumerate(sampled.requests.frame_index)}
    for n in (1, 20, 39):  # alone: the decoder is given less
        requested = RequestedFrames(path, np.array([n]), sampled.timeline.pts[[n]], False)
        assert [digest(frame) for _, frame in filter(None, requested)] == [decoded[n][1]]


@pytest.mark.usefixtures("never_decoded_by_the_scan")
@pytest.mark.parametrize(("file", "settings"), APART)
@pytest.mark.integration
def test_frames_of_two_packets_are_decoded_once_and_to_the_second_field(tmp_path, file, settings):
    path = write_fields(tmp_path / file, 40, apart=True, **settings)
    decoded = full_decode(path)
    sampled = sample(path, 25.0)
    assert sampled.way == "whole (its fields are in separate packets)"
    assert sampled.timeline.notes == () and len(sampled.timeline.pts) == len(sampled.digests) == 40
    assert sampled.digests == {i: found for i, (_, found) in enumerate(decoded)}
    first_sec = sampled.timeline.pts[0] * sampled.timeline.time_base[0] / sampled.timeline.time_base[1]
    assert sampled.timeline.end_sec - first_sec == pytest.approx(1.6)  # the last frame is shown for two fields
    for n in (13, 38):
        requested = RequestedFrames(path, np.array([n]), sampled.timeline.pts[[n]], False)
        assert [digest(frame) for _, frame in filter(None, requested)] == [decoded[n][1]]


def test_damage_in_a_second_field_makes_its_frame_corrupt(tmp_path):
    path = write_fields(tmp_path / "v.mp4", 40, apart=True)
    undamaged = sample(path, 25.0)
    with av.open(str(path)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    position, size = packets[5]  # the second half of the frame that is decoded third, and shown second
    data = bytearray(path.read_bytes())
    data[position + 12 : position + size] = b"\4" * (size - 12)
    path.write_bytes(data)
    sampled = sample(path, 25.0)
    assert set(range(40)) - set(sampled.digests) == {1}  # no other frame refers to it
    assert sampled.digests.items() <= undamaged.digests.items()


def test_first_fields_without_second_ones_lead_to_a_full_decode():
    top, bottom, next_top = (
        picture(n, n, number, parity=parity, **FIELD) for n, number, parity in ((2, 1, 0), (3, 1, 1), (4, 2, 0))
    )
    first = b"".join(pictures(1)[0][1])
    others = (
        next_top,
        picture(3, 3, 2, parity=1, **FIELD),
        picture(3, 3, 1, parity=None, **FIELD),
        picture(3, 3, 1, parity=1, **(FIELD | {"is_reference": False})),
    )
    for other in others:
        inspector = H264Inspector(parameter_sets())
        inspector.look(first), inspector.look(top)
        with pytest.raises(BitsError, match="without a second one"):
            inspector.look(other)
    for wrong in (top + bottom + next_top, top + others[1], top + others[2], top + others[3]):
        inspector = H264Inspector(parameter_sets())
        inspector.look(first)
        with pytest.raises(BitsError, match="not hold exactly one frame"):
            inspector.look(wrong)


def test_a_video_that_ends_with_a_single_field_is_decoded_completely(tmp_path):
    path = write_fields(tmp_path / "v.ts", 40, apart=True)
    whole = full_decode(path)
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.ts"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][:-1]:
            packet.stream = stream
            out.mux(packet)
    sampled = sample(tmp_path / "cut.ts", 25.0)
    assert sampled.way.startswith("whole (") and "packets of their own" not in sampled.way
    assert {i: found for i, found in sampled.digests.items() if i < 38} == {i: whole[i][1] for i in range(38)}
