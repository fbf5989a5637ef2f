"""Windows of training clips are moved a little, by frames that the cache has, and nothing else of them changes."""

import numpy as np
import pytest
import torch

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.timelines import VideoTimeline
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.clips.time_shift import moved_rows, reached_rows
from tests.conftest import make_batch, make_cache_identity, make_segment
from tests.support.tiny_cache import FRAMES_PER_CLIP, make_tiny_cache

SHARE = 0.4  # of 2.5 seconds with a frame every half second: two frames
DRAWS = [(seed, epoch, index) for seed in range(3) for epoch in range(20) for index in range(3)]


def timeline(*t_sec: float) -> VideoTimeline:
    times, count = np.array(t_sec, float), len(t_sec)
    rows = np.arange(count)
    return VideoTimeline("v", np.zeros((1, 6), np.int32), rows, times, times, np.full(count, "000000", object), rows)


def clip(start_sec: float, end_sec: float) -> ClipLabel:
    return ClipLabel("c", "v", start_sec, end_sec, 0, "train")


def moved(shown: VideoTimeline, one: ClipLabel, share: float = SHARE) -> set[range]:
    return {moved_rows(shown, one, share, place) for place in DRAWS}


EVEN = np.arange(40) / 2  # 20 seconds


def test_a_window_moves_both_ways_and_never_further_than_its_share():
    """A clip of rows 10 to 14."""
    assert moved(timeline(*EVEN), clip(4.75, 7.25)) == {range(first, first + 5) for first in range(8, 13)}
    assert moved(timeline(*EVEN), clip(4.75, 7.25), 0.2) == {range(first, first + 5) for first in range(9, 12)}


@pytest.mark.parametrize(("start", "end", "firsts"), [(0.25, 2.75, range(0, 4)), (17.25, 19.75, range(33, 36))])
def test_a_window_never_leaves_its_video(start, end, firsts):
    assert moved(timeline(*EVEN), clip(start, end)) == {range(first, first + 5) for first in firsts}


def test_a_gap_between_cached_frames_is_not_crossed():
    shown = timeline(*EVEN[:15], *(EVEN[15:] + 100))
    assert moved(shown, clip(4.75, 7.25)) == {range(first, first + 5) for first in range(8, 11)}
    assert moved(shown, clip(107.25, 109.75)) == {range(first, first + 5) for first in range(15, 18)}


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_those_of_the_window_or_of_the_moved_one_for_any_times(seed):
    generator = np.random.default_rng(seed)
    times = np.sort(generator.uniform(0, 30, 80))
    for _ in range(20):
        start = generator.uniform(0, 25)
        one, shown = clip(start, start + generator.uniform(2, 6)), timeline(*times)
        still, reach = shown.window(one.start_sec, one.end_sec), SHARE * (one.end_sec - one.start_sec)
        reached = reached_rows(shown, one, SHARE)
        for rows in moved(shown, one):
            assert len(rows) == still.stop - still.start and set(rows) <= set(reached) <= set(range(80))
            assert all(one.start_sec - reach <= times[row] <= one.end_sec + reach for row in rows)


def test_a_move_depends_on_seed_epoch_and_clip_and_on_nothing_else():
    shown, one = timeline(*EVEN), clip(5.0, 7.5)
    found = {place: moved_rows(shown, one, SHARE, place) for place in DRAWS}
    assert found == {place: moved_rows(shown, one, SHARE, place) for place in reversed(DRAWS)}
    for varied in range(3):  # the other two are 0
        places = [tuple(number if i == varied else 0 for i in range(3)) for number in range(12)]
        assert len({moved_rows(shown, one, SHARE, place) for place in places}) > 1


# -- items ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return open_reader(make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 3, num_views=1))


def dataset(reader, **changes) -> ClipDataset:
    settings = {"frames_per_clip": FRAMES_PER_CLIP, "resolution": 32, "random": True, "seed": 3, "views": 0}
    labels = reader.label_set()
    return ClipDataset(reader, labels, list(labels.clips), ClipSampling(**(settings | changes)))


def equal(one: ClipDataset, other: ClipDataset) -> bool:
    """Whether the items of three epochs, and what identifies the clips, are the same in every bit."""
    for epoch in range(3):
        one.epoch = other.epoch = epoch
        for a, b in zip(one, other, strict=True):
            if a.keys() != b.keys() or not all(torch.equal(a[name], b[name]) for name in a):
                return False
    return list(one.described_clips()) == list(other.described_clips())


def test_items_are_those_of_the_unmoved_clips_unless_training_moves_them(reader):
    assert equal(dataset(reader, frames_per_clip=2, time_shift=0.0), dataset(reader, frames_per_clip=2))
    still = [dataset(reader, frames_per_clip=2, random=False, time_shift=share) for share in (0.0, SHARE)]
    assert equal(*still)
    assert not equal(dataset(reader, time_shift=SHARE), dataset(reader))


def test_moved_items_have_the_frames_of_the_moved_rows_and_times_from_the_moved_start(reader):
    data, starts = dataset(reader, time_shift=SHARE), set()
    for data.epoch in range(8):
        for index, one in enumerate(data.clips):
            shown = reader.timeline(one.video_uid)
            rows = moved_rows(shown, one, SHARE, (3, data.epoch, index))
            item, stored = data[index], reader.all_embeddings(shown.unit[0])[rows.start : rows.stop, 0]
            assert torch.equal(item["embeddings"], torch.from_numpy(stored.astype(np.float32)))
            assert item["t_rel_sec"].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
            starts.add(rows.start - shown.window(one.start_sec, one.end_sec).start)
    assert starts == {-1, 0, 1, 2}  # windows begin with a frame, which is soon left behind
    assert data.frame_counts.tolist() == [FRAMES_PER_CLIP] * 9


def test_the_frames_around_clips_identify_a_run_and_their_shards_are_read_ahead(tmp_path, monkeypatch):
    """The first clip ends where its shard does; the others have frames around them in theirs."""
    writer = open_writer(tmp_path / "c", make_cache_identity())
    for unit in range(3):
        writer.commit_frames(f"{unit:06d}", make_batch(make_segment("v", 10, 10 * unit)), {})
    clips = [ClipLabel(f"c{i}", "v", start, start + 2.5, 0, "train") for i, start in enumerate((2.4, 5.4, 10.9))]
    writer.create_label_set(LabelSet("l", "none", ("x", "y"), (), None, {}), None)
    writer.publish_clips("l", 0, clips)
    writer.close()
    reader = open_reader(tmp_path / "c")
    for share, expected in ((0.0, ["000000"]), (SHARE, ["000000", "000001"])):
        data, asked = dataset(reader, resolution=0, views=None, time_shift=share), []
        monkeypatch.setattr(reader, "prefetch", asked.extend)
        data.prefetch([0])
        assert asked == expected
    described = [list(dataset(reader, resolution=0, time_shift=share).described_clips()) for share in (0.0, SHARE, 0.8)]
    assert all(len(set(lines)) == 3 for lines in zip(*described, strict=True))
