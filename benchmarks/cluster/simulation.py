"""Discrete events of workers that extract chunks, die and come back. Knows nothing of how videos were dealt.

heapq and not a library for simulations: there are five kinds of events, and death must cut all jobs of a worker at
once, which processes written as generators make harder to follow, not easier.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from benchmarks.cluster.account import Account, StoreRequests
from benchmarks.cluster.assignments import Assignment
from benchmarks.cluster.chunks import Chunk, Job


@dataclass(frozen=True)
class Cluster:
    """workers: how many. lanes: cores of each. startup_sec: to load the teacher, on one core;
    opening the cache comes on top.

    Shares and rates: slow_share of the workers run at slow_speed; all others at a normal speed that differs by
    speed_sigma (of its logarithm). deaths_per_hour: of one worker. restart_sec: from death until it starts again.
    notice_sec: from death until its chunks may be taken again: until its lease has expired.
    """

    workers: int
    lanes: int = 2
    startup_sec: float = 10.0
    speed_sigma: float = 0.0
    slow_share: float = 0.0
    slow_speed: float = 0.5
    deaths_per_hour: float = 0.0
    restart_sec: float = 120.0
    notice_sec: float = 60.0


@dataclass
class _Lane:
    """One core. jobs: what follows the present one. started_at: of the present one; None if the lane is idle."""

    jobs: deque[Job] = field(default_factory=deque)
    started_at: float | None = None


@dataclass
class _Worker:
    """life: counts restarts, so that events of an earlier life are ignored. orphans: chunks of earlier lives."""

    number: int
    speed: float
    lanes: list[_Lane]
    life: int = 0
    is_ready: bool = False
    started_at: float = 0.0
    chunks: list[Chunk] = field(default_factory=list)
    orphans: list[Chunk] = field(default_factory=list)
    chunk_of: dict[int, Chunk] = field(default_factory=dict)  # lane -> the chunk of its jobs


class Simulation:
    """One extraction. run() returns the account once all rows are committed."""

    def __init__(self, cluster: Cluster, assignment: Assignment, num_rows: int, seed: int):
        self.cluster, self.assignment, self._num_rows = cluster, assignment, num_rows
        self._draw = random.Random(seed)
        self.account = Account(cluster.workers, cluster.lanes)
        self.requests = StoreRequests()
        self._now = 0.0
        self._events: list[tuple[float, int, str, _Worker, int, int]] = []
        self._num_events = 0
        self._workers = [self._new_worker(number) for number in range(cluster.workers)]

    def run(self) -> Account:
        for worker in self._workers:
            self._schedule(0.0, "start", worker)
        while self.account.rows < self._num_rows:
            self._now, _, kind, worker, life, lane = heapq.heappop(self._events)
            if kind == "notice":
                self._give_back(worker)
            elif life == worker.life:
                self._handle(kind, worker, lane)
        self.account.makespan_sec = self._now
        for worker in self._workers:
            self._cut(worker)
            self._renew_lease(worker)
        return self.account

    def _new_worker(self, number: int) -> _Worker:
        cluster = self.cluster
        is_slow = self._draw.random() < cluster.slow_share
        speed = cluster.slow_speed if is_slow else self._draw.lognormvariate(0.0, cluster.speed_sigma)
        return _Worker(number, speed, [_Lane() for _ in range(cluster.lanes)])

    def _schedule(self, delay_sec: float, kind: str, worker: _Worker, lane: int = 0) -> None:
        self._num_events += 1
        heapq.heappush(self._events, (self._now + delay_sec, self._num_events, kind, worker, worker.life, lane))

    def _handle(self, kind: str, worker: _Worker, lane: int) -> None:
        if kind == "start":
            self._start(worker)
        elif kind == "ready":
            worker.is_ready = True
            self._stop_startup(worker)
            self._fill(worker)
        elif kind == "done":
            self._finish(worker, lane)
        else:
            self._die(worker)

    def _start(self, worker: _Worker) -> None:
        worker.started_at = worker.lanes[0].started_at = self._now
        opening_sec = self.requests.open_cache(self._now, self.account.units, self.account.chunks)
        self._schedule(self.cluster.startup_sec + opening_sec, "ready", worker)
        if self.cluster.deaths_per_hour:
            self._schedule(self._draw.expovariate(self.cluster.deaths_per_hour / 3600), "die", worker)

    def _stop_startup(self, worker: _Worker) -> None:
        """Account for the time in which one lane loaded the teacher."""
        spent_sec = self._now - worker.lanes[0].started_at
        worker.lanes[0].started_at = None
        self.account.add_startup(spent_sec, is_first=worker.life == 0)

    def _fill(self, worker: _Worker) -> None:
        """Give each idle lane jobs, taking further chunks as long as some lane has none."""
        if not worker.is_ready:
            return
        for number, lane in enumerate(worker.lanes):
            while lane.started_at is None:
                found = self._next_jobs(worker)
                if found is None:
                    return
                worker.chunk_of[number], lane.jobs = found
                self._begin(worker, number)

    def _next_jobs(self, worker: _Worker) -> tuple[Chunk, deque[Job]] | None:
        for chunk in worker.chunks:
            jobs = chunk.next_jobs()
            if jobs is not None:
                return chunk, jobs
        chunk = self.assignment.take(worker.number)
        if chunk is None:
            return None
        worker.chunks.append(chunk)
        return self._next_jobs(worker)

    def _begin(self, worker: _Worker, lane: int) -> None:
        worker.lanes[lane].started_at = self._now
        self._schedule(worker.lanes[lane].jobs[0].cost_sec / worker.speed, "done", worker, lane)

    def _finish(self, worker: _Worker, number: int) -> None:
        lane, chunk = worker.lanes[number], worker.chunk_of[number]
        spent_sec = self._now - lane.started_at
        lane.started_at = None
        was_planned = chunk.is_planned
        useful_sec, rows = chunk.finish(lane.jobs.popleft(), spent_sec)
        self.account.add_job(spent_sec, useful_sec)
        if rows:
            self.account.commit(self._now, rows)
            self.requests.commit(self._now)
        if chunk.is_planned and not was_planned:
            self.account.chunks += 1
            self.requests.plan(self._now)
        if chunk.is_complete:
            worker.chunks.remove(chunk)
        if lane.jobs:
            self._begin(worker, number)
        self._fill(worker)

    def _die(self, worker: _Worker) -> None:
        self._cut(worker)
        self.account.deaths += 1
        self._renew_lease(worker)
        worker.is_ready = False
        worker.life += 1
        worker.orphans += worker.chunks
        worker.chunks, worker.chunk_of = [], {}
        self._schedule(self.cluster.restart_sec, "start", worker)
        self._schedule(self.cluster.notice_sec, "notice", worker)

    def _give_back(self, worker: _Worker) -> None:
        """The chunks of a dead worker may be taken again; all who have nothing to do look for work."""
        orphans, worker.orphans = worker.orphans, []
        self.assignment.give_back(worker.number, orphans)
        for each in self._workers:
            self._fill(each)

    def _cut(self, worker: _Worker) -> None:
        """End all jobs of a worker in the middle, and take back what it had not published."""
        if not worker.is_ready and worker.lanes[0].started_at is not None:
            self._stop_startup(worker)
        for lane in worker.lanes:
            if lane.started_at is not None:
                self.account.add_lost_job(self._now - lane.started_at)
            lane.started_at, lane.jobs = None, deque()
        for chunk in worker.chunks:
            self.account.lose(chunk.lose())

    def _renew_lease(self, worker: _Worker) -> None:
        if worker.is_ready:
            self.requests.renew_leases(self._now - worker.started_at)
