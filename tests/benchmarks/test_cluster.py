"""The simulated cluster: no work appears or disappears, one worker takes the sum of the costs, deaths lose little."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cluster.account import StoreRequests
from benchmarks.cluster.assignments import Parts, PartsInTurn, SharedQueue, chunks_of
from benchmarks.cluster.chunks import Chunk
from benchmarks.cluster.costs import read_unit_costs
from benchmarks.cluster.lengths import HOURS, LONGEST_SEC, NUM_VIDEOS, ego4d_lengths
from benchmarks.cluster.simulation import Cluster, Simulation
from benchmarks.cluster.workload import (
    Rates,
    SimulatedVideo,
    cut_rows,
    make_videos,
    rates_of,
    split_long,
    with_pieces,
)
from embedonce.cache.plan import cut_units
from tests.conftest import planned_segment

SHARD_FRAMES = 50
RATES = Rates(0.001, 0.05, 0.02, 5e5, 1.0, ((0.5, 1.5), (1.0, 0.8), (1.5, 0.7)))
LENGTHS = ego4d_lengths(60, hours=5.0, longest_sec=1500.0)
FRAGILE = {"deaths_per_hour": 20.0, "restart_sec": 30.0, "notice_sec": 10.0}


def length(video: SimulatedVideo) -> float:
    return video.video_sec


def parts(videos, workers: int, chunk_sec: float = math.inf, helps: bool = False) -> Parts:
    return Parts(videos, workers, chunk_sec, SHARD_FRAMES, length, helps=helps)


def helping_parts(videos, workers: int) -> Parts:
    return parts(videos, workers, 300.0, helps=True)


def parts_in_turn(videos, workers: int) -> PartsInTurn:
    return PartsInTurn(videos, 4 * workers, SHARD_FRAMES, length)


def shared_queue(videos, workers: int) -> SharedQueue:
    return SharedQueue(videos, 300.0, SHARD_FRAMES, length)


def simulated(deal, workers: int, seed: int = 0, videos=None, **settings) -> Simulation:
    videos = make_videos(LENGTHS, RATES, seed) if videos is None else videos
    settings = {"startup_sec": 5.0} | settings
    run = Simulation(Cluster(workers, **settings), deal(videos, workers), sum(video.rows for video in videos), seed)
    run.run()
    return run


def test_one_worker_without_deaths_takes_the_sum_of_the_costs():
    videos = make_videos(LENGTHS, RATES, 0)
    run = simulated(parts, 1, lanes=1, videos=videos, startup_sec=0.0)
    opening_sec = StoreRequests().open_cache(0.0, 0, 0)
    assert run.account.makespan_sec == pytest.approx(opening_sec + sum(video.work_sec for video in videos))
    assert run.account.useful_sec == pytest.approx(sum(video.work_sec for video in videos))
    assert run.account.wasted_share == 0


@pytest.mark.parametrize("deal", [parts, parts_in_turn, helping_parts, shared_queue])
@pytest.mark.parametrize("workers", [1, 4])
def test_useful_and_lost_work_sum_to_all_work(deal, workers):
    videos = make_videos(LENGTHS, RATES, 1)
    account = simulated(deal, workers, seed=1, videos=videos, **FRAGILE).account
    assert account.deaths > 0 and account.lost_sec > 0
    assert account.useful_sec + account.lost_sec == pytest.approx(account.working_sec)
    assert account.useful_sec == pytest.approx(sum(video.work_sec for video in videos))
    assert account.rows == sum(video.rows for video in videos)
    capacity = account.workers * account.lanes * account.makespan_sec
    assert account.working_sec + account.startup_sec + account.restart_sec <= capacity * (1 + 1e-9)


@pytest.mark.parametrize("deal", [parts, parts_in_turn, helping_parts, shared_queue])
def test_a_run_is_determined_by_its_seed(deal):
    runs = [simulated(deal, 4, seed=2, **FRAGILE) for _ in range(2)]
    assert runs[0].account == runs[1].account
    assert runs[0].requests == runs[1].requests
    assert simulated(deal, 4, seed=3, **FRAGILE).account != runs[0].account


def test_workers_at_half_speed_take_twice_as_long():
    videos = make_videos(LENGTHS, RATES, 0)
    normal, slow = (
        simulated(parts, 2, videos=videos, startup_sec=0.0, slow_share=share).account for share in (0.0, 1.0)
    )
    assert slow.useful_sec == pytest.approx(2 * normal.useful_sec)
    assert slow.makespan_sec == pytest.approx(2 * normal.makespan_sec, rel=0.01)


def test_a_queue_makes_up_for_a_slow_worker_and_parts_do_not():
    seed = next(seed for seed in range(100) if 0 < slow_workers(seed) < 4)
    settings = {"seed": seed, "slow_share": 0.25}
    alone = simulated(parts, 4, **settings).account
    assert simulated(shared_queue, 4, **settings).account.makespan_sec < 0.8 * alone.makespan_sec
    assert simulated(parts_in_turn, 4, **settings).account.makespan_sec < 0.8 * alone.makespan_sec
    assert simulated(helping_parts, 4, **settings).account.makespan_sec < 0.8 * alone.makespan_sec


def slow_workers(seed: int) -> int:
    run = Simulation(Cluster(4, slow_share=0.25), parts([], 4), 0, seed)
    return sum(worker.speed < 1 for worker in run._workers)


def test_a_queue_begins_with_the_longest_video():
    videos = make_videos(LENGTHS, RATES, 0)
    queue = SharedQueue(videos, 0.0, SHARD_FRAMES, length)
    first, second = queue.take(0), queue.take(1)
    assert (first.cost_sec, second.cost_sec) == tuple(v.work_sec for v in sorted(videos, key=length)[:-3:-1])


def test_a_worker_without_work_helps_the_part_with_most_work_left():
    videos = [
        SimulatedVideo(uid, seconds, 10, 0.0, seconds / 10, 1.0)
        for uid, seconds in zip("abcd", (9, 8, 6, 5), strict=True)
    ]
    dealt = Parts(videos, 3, 0.0, SHARD_FRAMES, length, helps=True)  # a | b | c and d
    assert [dealt.take(worker).cost_sec for worker in (0, 1, 2)] == [9, 8, 6]
    assert dealt.take(0).cost_sec == 5
    assert dealt.take(1) is None
    dealt.give_back(1, [Chunk(videos[1:2], SHARD_FRAMES)])
    dealt.give_back(2, [Chunk(videos[2:3], SHARD_FRAMES), Chunk(videos[3:], SHARD_FRAMES)])
    assert [dealt.take(0).cost_sec for _ in range(3)] == [5, 8, 6]


def test_a_long_video_bounds_the_time_unless_it_is_split():
    videos = make_videos(LENGTHS, RATES, 0)
    longest_sec = max(video.work_sec for video in videos)
    whole = simulated(shared_queue, 40, videos=videos).account
    pieces = simulated(shared_queue, 40, videos=split_long(videos, 200)).account
    assert whole.makespan_sec > longest_sec > pieces.makespan_sec


def test_a_death_loses_what_is_not_committed_and_nothing_else():
    video = SimulatedVideo("a", 150.0, 150, 3.0, 1.0, 1.0)
    chunk = Chunk([video], SHARD_FRAMES)
    assert chunk.finish(chunk.next_jobs()[0], 3.0) == (3.0, 0)
    first, second, third = chunk.next_jobs()
    assert chunk.finish(first, 50.0) == (50.0, 50)
    assert chunk.lose() == 0
    assert list(chunk.next_jobs()) == [second, third]
    assert not chunk.is_complete


def test_pieces_of_a_video_are_done_by_several_lanes_at_once():
    video = SimulatedVideo("a", 1500.0, 150, 3.0, 1.0, 1.0, num_pieces=2)
    chunk = Chunk([video], SHARD_FRAMES)
    chunk.finish(chunk.next_jobs()[0], 3.0)
    first, second = chunk.next_jobs(), chunk.next_jobs()
    assert sorted([len(first), len(second)]) == [1, 2] and chunk.next_jobs() is None
    assert chunk.finish(second[0], 50.0) == (50.0, 50)
    assert chunk.lose() == 0 and sum(job.rows for job in chunk.next_jobs()) == sum(job.rows for job in first)


def test_long_videos_are_cut_as_extractions_cut_them():
    videos = [SimulatedVideo("a", sec, int(sec), 1.0, 1.0, 1.0) for sec in (150.0, 199.0, 200.0, 7200.0, 25_200.0)]
    assert [video.num_pieces for video in with_pieces(videos)] == [1, 1, 2, 16, 16]
    assert all(video.num_pieces == 1 for video in split_long(with_pieces(videos), 512) if "-" in video.uid)


def test_a_long_video_takes_less_time_in_pieces():
    videos = make_videos(LENGTHS, RATES, 0)
    whole = simulated(shared_queue, 40, videos=videos).account
    pieces = simulated(shared_queue, 40, videos=[replace(video, num_pieces=4) for video in videos]).account
    assert pieces.makespan_sec < 0.9 * whole.makespan_sec and pieces.rows == whole.rows


def test_scans_are_lost_until_the_whole_chunk_is_planned():
    chunk = Chunk([SimulatedVideo(uid, 10.0, 10, 2.0, 1.0, 1.0) for uid in "ab"], SHARD_FRAMES)
    assert chunk.finish(chunk.next_jobs()[0], 2.0) == (0.0, 0)
    assert chunk.lose() == 2.0
    assert [chunk.finish(chunk.next_jobs()[0], 2.0) for _ in range(2)] == [(0.0, 0), (4.0, 0)]


def test_a_shared_unit_is_committed_with_its_last_video_and_lost_before():
    chunk = Chunk([SimulatedVideo(uid, 10.0, 10, 2.0, 1.0, 1.0) for uid in "ab"], SHARD_FRAMES)
    for _ in range(2):
        chunk.finish(chunk.next_jobs()[0], 2.0)
    assert chunk.finish(chunk.next_jobs()[0], 10.0) == (0.0, 0)
    assert chunk.lose() == 10.0
    assert [chunk.finish(chunk.next_jobs()[0], 10.0) for _ in range(2)] == [(0.0, 0), (20.0, 20)]
    assert chunk.is_complete


def test_units_are_cut_as_plans_cut_them():
    rows = np.random.default_rng(0).integers(1, 180, 40).tolist()
    units = cut_units([planned_segment(str(i), count) for i, count in enumerate(rows)], SHARD_FRAMES, 0)
    expected = [[(int(piece.video_uid), len(piece.frame_index)) for piece in unit.segments] for unit in units]
    assert cut_rows(rows, SHARD_FRAMES) == expected


@pytest.mark.parametrize("chunk_sec, count", [(0.0, 60), (math.inf, 1)])
def test_chunks_are_single_videos_or_all(chunk_sec, count):
    assert len(chunks_of(make_videos(LENGTHS, RATES, 0), chunk_sec, SHARD_FRAMES)) == count


def test_pieces_have_the_rows_of_their_video_and_the_scan_of_all_of_it():
    videos = make_videos(LENGTHS, RATES, 0)
    pieces = split_long(videos, 200)
    assert sum(piece.rows for piece in pieces) == sum(video.rows for video in videos)
    assert max(piece.rows for piece in pieces) <= 200
    assert {piece.scan_sec for piece in pieces} == {video.scan_sec for video in videos}
    assert len({piece.uid for piece in pieces}) == len(pieces) > len(videos)


def test_lengths_have_the_published_number_sum_and_longest():
    lengths = ego4d_lengths()
    assert len(lengths) == NUM_VIDEOS
    assert sum(lengths) == pytest.approx(3600 * HOURS)
    assert max(lengths) == pytest.approx(LONGEST_SEC)


def test_a_longest_video_below_the_mean_is_refused():
    with pytest.raises(ValueError, match="must be longer than the mean, 3600 s, got 60 s"):
        ego4d_lengths(10, hours=10.0, longest_sec=60.0)


def test_a_commit_is_two_requests_and_a_later_opening_reads_all_records():
    requests = StoreRequests()
    requests.commit(0.0)
    assert requests.total == {"put": 2}
    early, late = requests.open_cache(100.0, 0, 0), requests.open_cache(200.0, 10_000, 100)
    assert late - early == pytest.approx(10_100 * 0.03 / 16)
    assert requests.total["get"] == 2 * 10 + 10_100


def test_plan_parts_that_others_published_are_read_and_simultaneous_ones_collide():
    requests = StoreRequests()
    for seconds, unread in ((0.0, 0), (0.01, 1), (0.02, 2), (9.0, 0)):
        requests.plan(seconds, unread)
    assert requests.total == {"put": 4 + 1 + 2, "get": 4 + 1 + 2}


def test_each_part_reads_the_records_of_the_others_when_it_ends():
    videos = [SimulatedVideo(uid, 100.0, 100, 1.0, 1.0, 1.0) for uid in "abcd"]
    alone, shared = (simulated(parts, workers, videos=videos, lanes=1) for workers in (1, 4))
    opening = 10
    assert alone.requests.total["get"] == opening + 1
    others_plans, others_records = 0 + 1 + 2 + 3, 4 * 3 * 2
    assert shared.requests.total["get"] == 4 * (opening + 1) + others_plans + others_records


def test_each_part_in_turn_is_a_start():
    run = simulated(parts_in_turn, 2, lanes=1)
    assert 8 <= run.account.startup_sec / 5.0 < 8 + 2 + 0.5  # and two that find nothing left to do
    assert run.account.restart_sec == 0


def test_the_measured_costs_can_be_read_and_used():
    costs = read_unit_costs()
    rates = rates_of(costs, "vp9.webm", "base", 1.0, 512)
    assert rates.other_sec_per_row > costs.embed_sec["base"] > costs.embed_sec["demo"] > 0
    assert np.mean(rates.factors, axis=0) == pytest.approx([1.0, 1.0])
