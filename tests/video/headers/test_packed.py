"""MPEG-4 Part 2 with two pictures in one packet."""

import pytest

from embedonce.pipeline.video import output_order
from embedonce.pipeline.video.headers.bits import BitsError
from embedonce.pipeline.video.headers.mpeg4 import PICTURE_START, Mpeg4Inspector
from tests.support.packed_videos import MARK, write_packed
from tests.support.videos import full_decode, sample
from tests.video.headers.test_headers import packets_and_extradata


def test_packed_pictures_are_decoded_once(tmp_path, monkeypatch):
    path = write_packed(tmp_path / "v.avi", 60)
    decoded = full_decode(path)
    assert len({found for _, found in decoded}) == 60

    def refuse(*_):
        raise AssertionError("the scan decodes the video")

    monkeypatch.setattr(output_order, "_output_order", refuse)
    sampled = sample(path, 30.0)
    assert sampled.way.startswith("whole") and len(sampled.timeline.pts) == 60
    assert sampled.digests == {i: found for i, (_, found) in enumerate(decoded)}


def test_streams_that_only_look_packed_are_decoded_to_find_out(tmp_path):
    path = write_packed(tmp_path / "v.avi", 24, mark=MARK[:-1])  # its encoder does not say that it packs
    decoded = full_decode(path)
    sampled = sample(path, 30.0)
    assert sampled.way == "whole (a packet does not hold exactly one frame)"
    assert sampled.digests.items() <= {i: found for i, (_, found) in enumerate(decoded)}.items()


def test_packets_that_do_not_go_on_as_packed_ones_do_lead_to_a_full_decode(tmp_path):
    packets, extradata = packets_and_extradata(write_packed(tmp_path / "v.avi", 12))
    first, packed, nothing = packets[:3]
    looks = Mpeg4Inspector(extradata)
    facts = [looks.look(packet) for packet in packets]
    assert looks.fallback_reason == "it has two frames in one packet"
    assert facts[2].order < facts[1].order < facts[3].order and all(fact.is_shown for fact in facts[:3])
    coded = packed[: packed.find(PICTURE_START, 4)]
    for wrong in (coded, nothing + bytes(20), packed):
        looks = Mpeg4Inspector(extradata)
        looks.look(first), looks.look(packed)
        with pytest.raises(BitsError, match="not hold exactly one frame"):
            looks.look(wrong)
    for wrong in (coded + coded, packed + coded, coded + nothing):
        looks = Mpeg4Inspector(extradata)
        looks.look(first)
        with pytest.raises(BitsError, match="not hold exactly one frame"):
            looks.look(wrong)
