"""In which order the processes of an extraction get their tasks: scans, plans, videos and their pieces."""

from collections.abc import Collection, Iterator

from embedonce.pipeline.engines.engine import Event, TaskResult
from embedonce.pipeline.extraction.decode_tasks import DecodeTask
from embedonce.pipeline.extraction.pending_videos import PendingVideos
from embedonce.pipeline.extraction.pieces import PieceEnds
from embedonce.pipeline.extraction.plan_tasks import PlanTask
from embedonce.pipeline.extraction.video_tasks import VideoTask
from embedonce.pipeline.extraction.waves import NewVideos, mixed
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.video.skipping import PackedPlan


class TaskOrder:
    """Makes the tasks of one extraction, each when it is asked for.

    ends: of the videos that were begun; whoever ends a video removes it. num_tasks: videos and pieces that were begun.
    """

    def __init__(self, pending: PendingVideos, new_videos: NewVideos):
        self._pending, self._new_videos = pending, new_videos
        self._unplanned: set[str] = set()  # long videos of which it is not known yet whether they can be cut
        self.ends: dict[str, PieceEnds] = {}
        self.num_tasks = 0

    def tasks(self, uids: Collection[str], progress: Progress) -> Iterator[VideoTask | None]:
        """Tasks that decode these videos, between those that scan the next ones; then the same with these.

        Long videos without a plan come last, since it must be found first. None while it is, or while the last new
        videos are still being scanned. Run by the engine, in this thread.
        """
        while True:
            progress.extend(self._pending.num_rows(uids))
            scans = self._new_videos.begin()
            present = [uid for uid in uids if uid in self._pending.videos]
            plans = [task for task in map(self._pending.plan_task, present) if task is not None]
            late = [task.uid for task in plans]
            self._unplanned = set(late)
            yield from plans
            for item in mixed([uid for uid in present if uid not in late], scans or []):
                yield from self._pieces(item) if isinstance(item, str) else [item]
            while self._unplanned:
                yield None
            for uid in late:
                yield from self._pieces(uid)
            if scans is None:
                return
            while not self._new_videos.is_complete:
                yield None
            uids = self._pending.add_planned(*self._new_videos.plan())

    def _pieces(self, uid: str) -> Iterator[DecodeTask]:
        """The tasks of a video, until one of them has failed."""
        tasks = self._pending.tasks(uid)
        ends = self.ends[uid] = PieceEnds(len(tasks))
        for task in tasks:
            if ends.has_failed:
                return
            self.num_tasks += 1
            yield task

    def is_open(self, uid: str) -> bool:
        """Whether a video was begun and has not ended."""
        return uid in self.ends or uid in self._unplanned

    def receive_plan(self, event: Event[PlanTask, PackedPlan | None]) -> None:
        """Take an event of a PlanTask. Without a plan, one task decodes the video, and finds out what is wrong."""
        if not isinstance(event, TaskResult):
            self._unplanned.discard(event.task.uid)
        elif event.value is not None:
            self._pending.set_plan(event.task.uid, event.value)
