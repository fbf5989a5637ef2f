"""A chunk: the videos that one worker takes, plans and extracts together, and what is lost when that worker dies."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.cluster.workload import SimulatedVideo, cut_rows


@dataclass
class Scan:
    """The scan of one video. cost_sec: at normal speed. spent_sec: what it took, once done."""

    cost_sec: float
    spent_sec: float = 0.0
    is_done: bool = False


@dataclass
class Segment:
    """Rows of one video in one unit, as Scan."""

    unit: "Unit"
    position: int
    rows: int
    cost_sec: float
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
        self.num_units_left = 0
        self._scans = [Scan(video.scan_sec) for video in videos]
        self._units: list[Unit] = []
        for pieces in cut_rows([video.rows for video in videos], shard_frames):
            unit = Unit()
            unit.segments = [Segment(unit, i, rows, rows * videos[i].row_sec) for i, rows in pieces]
            self._units.append(unit)
        self.num_units_left = len(self._units)
        self._waiting: deque[deque[Job]] = deque()
        self._queue_again()

    @property
    def is_complete(self) -> bool:
        return self.is_planned and not self.num_units_left

    def next_jobs(self) -> deque[Job] | None:
        """Jobs for one lane, to be done in order; None if there is nothing to do now."""
        return self._waiting.popleft() if self._waiting else None

    def finish(self, job: Job, spent_sec: float) -> tuple[float, int]:
        """A job is done. Returns (seconds of work that cannot be lost any more, rows committed)."""
        job.is_done, job.spent_sec = True, spent_sec
        if isinstance(job, Scan):
            return self._publish_plan(), 0
        return self._commit(job.unit)

    def lose(self) -> float:
        """The worker died: what it had not published must be done again. Returns the seconds of lost work."""
        done: list[Job] = [segment for unit in self._units if not unit.is_committed for segment in unit.segments]
        done += [] if self.is_planned else self._scans
        lost_sec = sum(job.spent_sec for job in done if job.is_done)
        for job in done:
            job.is_done, job.spent_sec = False, 0.0
        self._queue_again()
        return lost_sec

    def _publish_plan(self) -> float:
        if not all(scan.is_done for scan in self._scans):
            return 0.0
        self.is_planned = True
        self._queue_again()
        return sum(scan.spent_sec for scan in self._scans)

    def _commit(self, unit: Unit) -> tuple[float, int]:
        if not all(segment.is_done for segment in unit.segments):
            return 0.0, 0
        unit.is_committed = True
        self.num_units_left -= 1
        return sum(s.spent_sec for s in unit.segments), sum(s.rows for s in unit.segments)

    def _queue_again(self) -> None:
        """One entry for each scan, or for each video with the segments that it lacks: a lane decodes a video alone."""
        if not self.is_planned:
            self._waiting = deque(deque([scan]) for scan in self._scans)
            return
        by_video: dict[int, deque[Job]] = {}
        for unit in self._units:
            for segment in unit.segments:
                if not segment.is_done:
                    by_video.setdefault(segment.position, deque()).append(segment)
        self._waiting = deque(by_video.values())
