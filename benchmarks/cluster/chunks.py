"""A chunk: the videos that one worker takes, plans and extracts together, and what is lost when that worker dies."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.cluster.workload import SimulatedVideo, cut_rows


@dataclass
class Scan:
    """The scan of the video at a position of its chunk. cost_sec: at normal speed. spent_sec: what it took."""

    position: int
    cost_sec: float
    spent_sec: float = 0.0
    is_done: bool = False


@dataclass
class Segment:
    """Rows of one video in one unit, as Scan."""

    position: int
    cost_sec: float
    unit: "Unit"
    rows: int
    spent_sec: float = 0.0
    is_done: bool = False


@dataclass
class Unit:
    """A future shard: committed when all its segments are done."""

    segments: list[Segment] = field(default_factory=list)
    is_committed: bool = False


Job = Scan | Segment


class Chunk:
    """Videos that are scanned, then planned at once, then extracted unit by unit. Committed units are never lost."""

    def __init__(self, videos: Sequence[SimulatedVideo], shard_frames: int):
        self.cost_sec = sum(video.work_sec for video in videos)
        self.is_planned = False
        self._scans = [Scan(i, video.scan_sec) for i, video in enumerate(videos)]
        self._segments: list[list[Segment]] = [[] for _ in videos]
        units = cut_rows([video.rows for video in videos], shard_frames)
        for pieces in units:
            unit = Unit()
            unit.segments = [Segment(i, rows * videos[i].row_sec, unit, rows) for i, rows in pieces]
            for segment in unit.segments:
                self._segments[segment.position].append(segment)
        self._num_scans_left, self._num_units_left = len(self._scans), len(units)
        self._waiting = deque(range(len(videos)))
        self._begun: set[int] = set()  # positions of videos that have left _waiting

    @property
    def is_complete(self) -> bool:
        return self.is_planned and not self._num_units_left

    def next_jobs(self) -> deque[Job] | None:
        """Jobs for one lane, to be done in order: a scan, or what one video lacks. None if nothing can be done now."""
        if not self._waiting:
            return None
        position = self._waiting.popleft()
        self._begun.add(position)
        if not self.is_planned:
            return deque([self._scans[position]])
        return deque(segment for segment in self._segments[position] if not segment.is_done)

    def finish(self, job: Job, spent_sec: float) -> tuple[float, int]:
        """A job is done. Returns (seconds of work that cannot be lost any more, rows committed)."""
        job.is_done, job.spent_sec = True, spent_sec
        if isinstance(job, Scan):
            self._num_scans_left -= 1
            return self._publish_plan(), 0
        return self._commit(job.unit)

    def lose(self) -> float:
        """The worker died: what it had not published must be done again. Returns the seconds of lost work."""
        lost_sec = 0.0
        for position in self._begun:
            for job in self._jobs(position):
                if job.is_done and not self._is_published(job):
                    lost_sec += job.spent_sec
                    job.is_done, job.spent_sec = False, 0.0
                    self._num_scans_left += isinstance(job, Scan)
        again = [position for position in sorted(self._begun) if not all(job.is_done for job in self._jobs(position))]
        self._waiting.extendleft(reversed(again))
        self._begun.difference_update(again)
        return lost_sec

    def _jobs(self, position: int) -> Sequence[Job]:
        return self._segments[position] if self.is_planned else [self._scans[position]]

    def _is_published(self, job: Job) -> bool:
        return self.is_planned if isinstance(job, Scan) else job.unit.is_committed

    def _publish_plan(self) -> float:
        if self._num_scans_left:
            return 0.0
        self.is_planned = True
        self._waiting, self._begun = deque(range(len(self._scans))), set()
        return sum(scan.spent_sec for scan in self._scans)

    def _commit(self, unit: Unit) -> tuple[float, int]:
        if not all(segment.is_done for segment in unit.segments):
            return 0.0, 0
        unit.is_committed = True
        self._num_units_left -= 1
        for position in {segment.position for segment in unit.segments}:
            if all(segment.unit.is_committed for segment in self._segments[position]):
                self._begun.discard(position)
        return sum(s.spent_sec for s in unit.segments), sum(s.rows for s in unit.segments)
