"""New videos in groups: one is scanned and planned while the frames of the one before are extracted."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from embedonce.cache.plan import Unit
from embedonce.pipeline.engines.engine import Event
from embedonce.pipeline.extraction.scan_tasks import Scan, ScanTask
from embedonce.pipeline.extraction.scanning import ScanCollector, ScanResults, Windows, scan_tasks
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.sources.source import Video
from embedonce.pipeline.video.skipping import PackedPlan

FIRST_WAVE = 64  # videos that are scanned before anything is extracted
LARGEST_WAVE = 1024  # videos: bounds the memory of scans that are not planned yet
COPIED_SHARE = 0.5  # of the space for copies of remote files: one wave is decoded while the next one is scanned

First = TypeVar("First")
Second = TypeVar("Second")
Waves = tuple[tuple[Video, ...], ...]
Units = tuple[Unit, ...]


def cut_waves(videos: Sequence[Video], first: frozenset[str] = frozenset(), least: int = 1) -> Waves:
    """Cut videos into waves: FIRST_WAVE of them, and twice as many in each further one, up to LARGEST_WAVE.

    first: uids of videos that must be in the first wave, which may be larger then. The order is kept otherwise. Waves
    of remote videos are smaller if their copies would take more than COPIED_SHARE, so that what a scan has downloaded
    is still there when the video is decoded; but they have at least `least` videos.
    """
    early = [video for video in videos if video.uid in first]
    others = [video for video in videos if video.uid not in first]
    length = max(FIRST_WAVE, len(early))
    least_now = max(least, len(early))
    ordered = [*early, *others]
    waves = []
    while ordered:
        count = max(least_now, _num_copied(ordered[:length]))
        waves.append(tuple(ordered[:count]))
        ordered = ordered[count:]
        length = min(2 * length, max(LARGEST_WAVE, length))
        least_now = least
    return tuple(waves)


def _num_copied(videos: Sequence[Video]) -> int:
    """How many of these videos, from the first one on, have room for their copies within COPIED_SHARE."""
    shares = itertools.accumulate(video.copied_share for video in videos)
    return sum(1 for _ in itertools.takewhile(lambda share: share <= COPIED_SHARE, shares))


class NewVideos:
    """Waves of videos that are still to be scanned and planned.

    begin() starts with the next wave; plan() appends it to the plan, once the events of all its tasks were received.
    """

    def __init__(self, waves: Waves, windows: Windows, config: ExtractConfig, plan: Callable[[ScanResults], Units]):
        """plan: appends scanned videos to the plan. Returns the units."""
        self._waves, self._windows, self._config, self._plan = waves, windows, config, plan
        self._collector = ScanCollector([])

    def begin(self) -> list[ScanTask] | None:
        """The tasks of the next wave; None if there is no further one."""
        if not self._waves:
            return None
        tasks = scan_tasks(self._waves[0], self._windows, self._config)
        self._collector = ScanCollector(tasks)
        return tasks

    def receive(self, event: Event[ScanTask, Scan | None]) -> None:
        """Take an event of a scan task."""
        self._collector.receive(event)

    @property
    def is_complete(self) -> bool:
        """Whether every video of the wave is scanned."""
        return self._collector.is_complete

    def plan(self) -> tuple[Units, dict[str, PackedPlan | None]]:
        """Plan the wave. Returns its units, and which packets must be decoded of each video."""
        scanned = self._collector.results()
        units = self._plan(scanned)
        self._waves = self._waves[1:]
        return units, packet_plans(scanned)

    @property
    def uids(self) -> set[str]:
        """The videos that no plan knows yet."""
        return {video.uid for wave in self._waves for video in wave}


def packet_plans(scanned: ScanResults) -> dict[str, PackedPlan | None]:
    """uid -> which packets must be decoded."""
    return {uid: scan.plan for uid, scan in scanned.scans.items()}


def mixed(first: Sequence[First], second: Sequence[Second]) -> Iterator[First | Second]:
    """All items, each sequence in order and spread evenly over the other."""
    positions: Iterable[tuple[float, int, int]] = sorted(
        [((i + 1) / len(first), 0, i) for i in range(len(first))]
        + [((i + 1) / len(second), 1, i) for i in range(len(second))]
    )
    for _, which, i in positions:
        yield second[i] if which else first[i]
