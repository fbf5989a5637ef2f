"""Packets that differ from a header's list are noticed, and the video is read whole."""

from pathlib import Path

import numpy as np
import pytest

from embedonce.pipeline.video import header_index, sampled_packets
from tests.support.index_comparison import FRAMES, scanned_both_ways, write_intra
from tests.support.videos import timeline_of


@pytest.fixture
def video(tmp_path) -> Path:
    return write_intra(tmp_path / "v.mov")


WRONG_LISTS = {
    "time of the last": (-1, 0, 1),
    "position of the first": (0, 1, 1),
    "position of the last": (-1, 1, -1),
    "size of the last": (-1, 2, -1),
    "is hidden": (1, 4, 1),
}


@pytest.mark.parametrize("kind", WRONG_LISTS)
def test_packets_that_differ_from_the_list_are_noticed(video, kind, monkeypatch):
    """Only another version of FFmpeg may do so: its list is then not believed."""
    n, column, by = WRONG_LISTS[kind]
    listed = header_index._entries

    def wrong(stream) -> np.ndarray:
        entries = listed(stream)
        entries[n, column] += by
        return entries

    monkeypatch.setattr(header_index, "_entries", wrong)
    timeline, is_by_header = scanned_both_ways(video)
    assert not is_by_header and len(timeline.pts) == FRAMES


def test_packets_that_are_not_listed_are_noticed(video, monkeypatch):
    listed = header_index._entries
    for part in (slice(0, -1), slice(1, None), slice(0, 0)):
        monkeypatch.setattr(header_index, "_entries", lambda stream, part=part: listed(stream)[part])
        timeline, is_by_header = scanned_both_ways(video)
        assert not is_by_header and len(timeline.pts) == FRAMES


def test_every_place_is_compared(video, monkeypatch):
    places = sampled_packets.places_to_check(FRAMES)
    assert places[0].start == 0 and places[-1].stop == FRAMES and len(places) == sampled_packets.NUM_PLACES
    seen = []
    compare = sampled_packets._compare
    monkeypatch.setattr(
        sampled_packets, "_compare", lambda listed, n, packet: seen.append(n) or compare(listed, n, packet)
    )
    monkeypatch.setattr(header_index, "MIN_SAVING", 0.0)
    timeline_of(video)
    assert seen == [n for place in places for n in range(place.start, place.stop)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 16, 17, 1000])
def test_places_lie_apart_and_include_both_ends(count):
    places = sampled_packets.places_to_check(count)
    numbers = [n for place in places for n in range(place.start, place.stop)]
    assert numbers == sorted(set(numbers)) and {0, count - 1} <= set(numbers) <= set(range(count))


@pytest.mark.parametrize(
    ("column", "values"),
    [(0, (0, 512, 512, 1024)), (0, (0, 1024, 512, 2048)), (3, (1, 1, 0, 1)), (4, (0, 0, 0, 1)), (None, ())],
)
def test_lists_that_do_not_identify_frames_are_noticed(column, values):
    entries = np.array([[512 * n, 100 * n, 100, 1, 0] for n in range(4)], np.int64)
    assert header_index._identify_frames(entries)
    if column is not None:
        entries[:, column] = values
    assert not header_index._identify_frames(entries if column is not None else entries[:0])
