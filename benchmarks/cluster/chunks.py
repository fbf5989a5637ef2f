"""A chunk: the videos that one worker takes, plans and extracts together, and what is lost when that worker dies."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.cluster.workload import SimulatedVideo, cut_rows


@dataclass
class Scan:
    """The scan of a video. cost_sec: at normal speed. spent_sec: what it took."""

    cost_sec: float
    spent_sec: float = 0.0
    is_done: bool = False


@dataclass
class Segment:
    """Rows of one video in one unit, as Scan. piece: of its chunk."""

    piece: int
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
        self._scans = [Scan(video.scan_sec) for video in videos]
        units = cut_rows([video.rows for video in videos], shard_frames)
        self._pieces = _pieces(videos, units)
        self._num_scans_left, self._num_units_left = len(videos), len(units)
        self._waiting = deque(range(len(videos)))
        self._begun: set[int] = set()  # scans, or pieces once it is planned, that have left _waiting

    @property
    def is_complete(self) -> bool:
        return self.is_planned and not self._num_units_left

    def next_jobs(self) -> deque[Job] | None:
        """Jobs for one lane, to be done in order: a scan, or what a piece lacks. None if nothing can be done now."""
        if not self._waiting:
            return None
        number = self._waiting.popleft()
        self._begun.add(number)
        return deque(job for job in self._jobs(number) if not job.is_done)

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
        for number in self._begun:
            for job in self._jobs(number):
                if job.is_done and not self._is_published(job):
                    lost_sec += job.spent_sec
                    job.is_done, job.spent_sec = False, 0.0
                    self._num_scans_left += isinstance(job, Scan)
        again = [number for number in sorted(self._begun) if not all(job.is_done for job in self._jobs(number))]
        self._waiting.extendleft(reversed(again))
        self._begun.difference_update(again)
        return lost_sec

    def _jobs(self, number: int) -> Sequence[Job]:
        return self._pieces[number] if self.is_planned else [self._scans[number]]

    def _is_published(self, job: Job) -> bool:
        return self.is_planned if isinstance(job, Scan) else job.unit.is_committed

    def _publish_plan(self) -> float:
        if self._num_scans_left:
            return 0.0
        self.is_planned = True
        self._waiting, self._begun = deque(range(len(self._pieces))), set()
        return sum(scan.spent_sec for scan in self._scans)

    def _commit(self, unit: Unit) -> tuple[float, int]:
        if not all(segment.is_done for segment in unit.segments):
            return 0.0, 0
        unit.is_committed = True
        self._num_units_left -= 1
        for number in {segment.piece for segment in unit.segments}:
            if all(segment.unit.is_committed for segment in self._pieces[number]):
                self._begun.discard(number)
        return sum(s.spent_sec for s in unit.segments), sum(s.rows for s in unit.segments)


def _pieces(videos: Sequence[SimulatedVideo], units: Sequence[Sequence[tuple[int, int]]]) -> list[list[Segment]]:
    """The segments of each piece. units: (position of the video, rows), as cut_rows() returns them."""
    counts: list[int] = [0] * len(videos)
    for position, _ in (pair for pairs in units for pair in pairs):
        counts[position] += 1
    pieces: list[list[Segment]] = []
    begun = [0] * len(videos)
    piece_of: dict[tuple[int, int], int] = {}
    for pairs in units:
        unit = Unit()
        for position, rows in pairs:
            part = begun[position] * min(videos[position].num_pieces, counts[position]) // counts[position]
            begun[position] += 1
            number = piece_of.setdefault((position, part), len(pieces))
            pieces += [[]] if number == len(pieces) else []
            segment = Segment(number, rows * videos[position].row_sec, unit, rows)
            unit.segments.append(segment)
            pieces[number].append(segment)
    return pieces
