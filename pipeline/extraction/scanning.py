"""Scanning new videos through an engine: tasks, and what became of them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from embedonce.pipeline.engines.engine import EngineOptions, Event, TaskDone, TaskFailed, TaskResult
from embedonce.pipeline.engines.registry import make_engine
from embedonce.pipeline.extraction.scan_tasks import Scan, ScanTask, scan_video
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.frames.sampling_times import Grid
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.source import Video

Windows = Mapping[str, tuple[tuple[float, float], ...]]  # uid -> [start_sec, end_sec) of its clips


@dataclass(frozen=True)
class ScanResults:
    """Scans of the usable videos, and reasons of the unusable ones, by uid in the order of the source.

    temporary: uids of failures that may be usable later, with the same file.
    """

    scans: dict[str, Scan]
    failures: dict[str, str]
    temporary: frozenset[str] = frozenset()

    def __or__(self, others: "ScanResults") -> "ScanResults":
        return ScanResults(
            self.scans | others.scans, self.failures | others.failures, self.temporary | others.temporary
        )

    def only(self, uids: Collection[str]) -> "ScanResults":
        """The results of these videos."""
        return ScanResults(
            {uid: scan for uid, scan in self.scans.items() if uid in uids},
            {uid: reason for uid, reason in self.failures.items() if uid in uids},
            self.temporary & set(uids),
        )


class ScanCollector:
    """Takes the events of scan tasks until each has ended."""

    def __init__(self, tasks: Iterable[ScanTask]):
        self._order = [task.uid for task in tasks]
        self._num_running = len(self._order)
        self._scans: dict[str, Scan] = {}
        self._failures: dict[str, str] = {}
        self._temporary: set[str] = set()

    @property
    def is_complete(self) -> bool:
        return not self._num_running

    def receive(self, event: Event[ScanTask, Scan | None]) -> bool:
        """Take an event. Returns whether it ended its task."""
        uid = event.task.uid
        if isinstance(event, TaskResult) and event.value is not None:
            self._scans[uid] = event.value
        if isinstance(event, TaskFailed):
            self._failures[uid] = event.reason
            self._temporary |= {uid} if event.is_temporary else set()
        is_end = isinstance(event, TaskDone | TaskFailed)
        self._num_running -= is_end
        return is_end

    def results(self) -> ScanResults:
        """What is known so far."""
        return ScanResults(
            {uid: self._scans[uid] for uid in self._order if uid in self._scans},
            {uid: self._failures[uid] for uid in self._order if uid in self._failures},
            frozenset(self._temporary),
        )


def scan_tasks(videos: Iterable[Video], windows: Windows, config: ExtractConfig) -> list[ScanTask]:
    """The tasks that find the frames to extract of these videos."""
    fps = config.fps if config.sampling == "fps" else None
    return [
        ScanTask(
            video.uid,
            video.path,
            Grid(fps, windows.get(video.uid, ()), video.redacted),
            config.decoder,
            video.left_eye,
        )
        for video in videos
    ]


def scan_videos(videos: Iterable[Video], windows: Windows, config: ExtractConfig) -> ScanResults:
    """Scan videos in processes of their own."""
    tasks = scan_tasks(videos, windows, config)
    collector = ScanCollector(tasks)
    engine = make_engine(config.engine, scan_video, EngineOptions(config.num_decode_workers, config.video_timeout))
    with Progress(len(tasks), "scanning videos", "videos") as progress:
        for event in engine.run(tasks):
            if collector.receive(event):
                progress.update()
    return collector.results()
