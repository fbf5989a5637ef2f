"""What a simulated extraction spent: seconds of lanes by their use, and requests to the store."""

from collections import Counter
from dataclasses import dataclass, field

LEASE_SEC = 15.0  # between renewals of a writer's lease
REQUESTS_PER_COMMIT = 2  # shard and record
REQUEST_SEC, REQUESTS_AT_ONCE = 0.03, 16  # of one small read; of a writer that opens a cache
OPENING_REQUESTS = 10  # identity, settings, lease, manifest, attempts, quarantine and listings, apart from records
LISTED_AT_ONCE = 1000
WINDOW_SEC = 10  # for the highest rate
PUT_DOLLARS, GET_DOLLARS = 5e-6, 4e-7  # per request: S3 Standard, us-east-1 ($0.005 and $0.0004 per 1,000)


@dataclass
class Account:
    """Seconds of lanes. working_sec is measured at each job, and is what useful, lost and pending work sum to.

    useful_sec: of work that was published. lost_sec: of work that a death threw away. restart_sec: of loading the
    teacher again. startup_sec: of loading it the first time.
    """

    workers: int
    lanes: int
    makespan_sec: float = 0.0
    first_commit_sec: float | None = None
    working_sec: float = 0.0
    useful_sec: float = 0.0
    lost_sec: float = 0.0
    startup_sec: float = 0.0
    restart_sec: float = 0.0
    rows: int = 0
    units: int = 0
    chunks: int = 0
    deaths: int = 0

    def add_job(self, spent_sec: float, useful_sec: float) -> None:
        self.working_sec += spent_sec
        self.useful_sec += useful_sec

    def add_lost_job(self, spent_sec: float) -> None:
        """A job that was cut."""
        self.working_sec += spent_sec
        self.lost_sec += spent_sec

    def lose(self, spent_sec: float) -> None:
        """Jobs that were done, and counted as work, but not published."""
        self.lost_sec += spent_sec

    def add_startup(self, spent_sec: float, is_first: bool) -> None:
        if is_first:
            self.startup_sec += spent_sec
        else:
            self.restart_sec += spent_sec

    def commit(self, now_sec: float, rows: int) -> None:
        self.first_commit_sec = now_sec if self.first_commit_sec is None else self.first_commit_sec
        self.rows += rows
        self.units += 1

    @property
    def wasted_share(self) -> float:
        """Of all work and restarts, what deaths threw away."""
        return (self.lost_sec + self.restart_sec) / (self.working_sec + self.restart_sec)

    @property
    def efficiency(self) -> float:
        """Useful work as a share of all lanes over the whole time."""
        return self.useful_sec / (self.workers * self.lanes * self.makespan_sec)


@dataclass
class StoreRequests:
    """Requests by kind: "put" (and listings, which cost the same) and "get"."""

    total: Counter[str] = field(default_factory=Counter)
    _windows: Counter[int] = field(default_factory=Counter)

    def open_cache(self, now_sec: float, num_records: int, num_plan_parts: int) -> float:
        """A writer opens the cache: it reads every record and every plan part, and lists both. Returns the seconds."""
        self._add(now_sec, "put", 2 + num_records // LISTED_AT_ONCE)
        left = OPENING_REQUESTS + num_records + num_plan_parts
        rate = REQUESTS_AT_ONCE / REQUEST_SEC
        duration_sec = left / rate
        while left > 0:
            count = min(left, int(rate * WINDOW_SEC))
            self._add(now_sec, "get", count)
            left -= count
            now_sec += WINDOW_SEC
        return duration_sec

    def commit(self, now_sec: float) -> None:
        self._add(now_sec, "put", REQUESTS_PER_COMMIT)

    def plan(self, now_sec: float) -> None:
        """A plan part: one conditional put, and a look at what others put meanwhile."""
        self._add(now_sec, "put", 1)
        self._add(now_sec, "get", 1)

    def renew_leases(self, seconds: float) -> None:
        self.total["put"] += int(seconds / LEASE_SEC)

    @property
    def dollars(self) -> float:
        return self.total["put"] * PUT_DOLLARS + self.total["get"] * GET_DOLLARS

    @property
    def highest_rate(self) -> float:
        """Requests per second in the busiest WINDOW_SEC seconds, without leases."""
        return max(self._windows.values(), default=0) / WINDOW_SEC

    def _add(self, now_sec: float, kind: str, count: int) -> None:
        self.total[kind] += count
        self._windows[int(now_sec / WINDOW_SEC)] += count
