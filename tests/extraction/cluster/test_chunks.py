"""Dealing videos into chunks: each video once, bound ones together, large ones first, small chunks at the end."""

import numpy as np
import pytest

from embedonce.pipeline.extraction.cluster.chunks import CHUNKS_PER_ROUND, MAX_VIDEOS, deal


def spread(num_videos: int, seed: int = 0) -> dict[str, float]:
    lengths = np.random.default_rng(seed).lognormal(size=num_videos)
    return {f"v{number:05}": 1e9 * float(length) for number, length in enumerate(lengths)}


@pytest.mark.parametrize("num_videos", [0, 1, 7, 2000])
@pytest.mark.parametrize("num_workers", [1, 2, 64])
def test_every_video_is_in_one_chunk(num_videos, num_workers):
    costs = spread(num_videos)
    chunks = deal(costs, [], num_workers)
    assert sorted(uid for chunk in chunks for uid in chunk) == sorted(costs)
    assert all(chunk and len(chunk) <= MAX_VIDEOS for chunk in chunks)


def test_bound_videos_are_together_also_through_others():
    costs = spread(300)
    bound = [("v00001", "v00290"), ("v00290", "v00050", "absent"), ("v00007", "v00008"), ("absent",), ()]
    chunks = deal(costs, bound, 8)
    where = {uid: number for number, chunk in enumerate(chunks) for uid in chunk}
    assert where["v00001"] == where["v00290"] == where["v00050"] and where["v00007"] == where["v00008"]
    assert sorted(where) == sorted(costs) == sorted(uid for chunk in chunks for uid in chunk)


def test_workers_that_take_the_next_chunk_end_almost_together():
    costs = spread(2000)
    ends = [0.0] * 8
    for chunk in deal(costs, [], 8):
        ends[ends.index(min(ends))] += sum(costs[uid] for uid in chunk)
    assert max(ends) < 1.02 * sum(costs.values()) / 8


def test_no_chunk_is_a_large_part_of_what_a_worker_does():
    costs = spread(2000)
    largest = max(sum(costs[uid] for uid in chunk) for chunk in deal(costs, [], 4))
    assert largest <= sum(costs.values()) / 4 / CHUNKS_PER_ROUND
    assert len(deal(costs, [], 4)) < 4 * 100  # each chunk costs something to begin


def test_the_longest_video_comes_first_whatever_the_order_of_the_listing():
    costs = spread(50) | {"long": 1e15}
    assert deal(costs, [], 4)[0] == ("long",)
    assert deal(dict(reversed(costs.items())), [], 4) == deal(costs, [], 4)


def test_few_bytes_are_one_chunk_for_each_worker():
    assert [len(chunk) for chunk in deal(dict.fromkeys("abcdefgh", 1e6), [], 2)] == [4, 4]
    assert len(deal(dict.fromkeys("abcdefgh", 1e9), [], 2)) > 4


def test_files_of_unknown_size_are_dealt_too():
    chunks = deal(dict.fromkeys(map(str, range(1300)), 0.0), [], 2)
    assert sum(map(len, chunks)) == 1300 and max(map(len, chunks)) <= MAX_VIDEOS
