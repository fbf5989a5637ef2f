"""Gives the workers of a cluster their work, until all of it is done or the run must end."""

import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from embedonce.cache.errors import BusyError, CacheError, StorageError, some
from embedonce.models.errors import ModelError
from embedonce.pipeline.engines.engine import MAX_ATTEMPTS
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.cluster.assignments import MAX_LOSSES, Assignments, Cause, Chunk, Trial, Work
from embedonce.pipeline.extraction.cluster.cluster import Cluster, WorkerId
from embedonce.pipeline.extraction.cluster.jobs import (
    Extended,
    ExtractVideos,
    Job,
    JobDone,
    JobFailed,
    LoadTeacher,
    Noted,
    Report,
    TryVideo,
    Updated,
    WorkerLost,
)
from embedonce.pipeline.extraction.cluster.suspects import Suspects
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.source import Clip, Source

POLL_SEC = 1.0
MAX_CRASHES = 2 * MAX_LOSSES  # of workers without any success in between, before the run ends
WAITING_SEC = 60.0  # until a run that has no worker says so, and again

Requests = Sequence[LabelSetRequest]


@dataclass(frozen=True)
class _Loss:
    """Why a worker was lost; reason: a short text for the user. error: the one that ended its last job."""

    cause: Cause
    reason: str
    error: Exception | None = None


class Dispatcher:
    """One run on a cluster. source: matched with the cache; its videos are those of the chunks, or more."""

    def __init__(self, cluster: Cluster, source: Source, chunks: Collection[tuple[str, ...]], suspects: Suspects):
        self._cluster, self._suspects = cluster, suspects
        self._videos = {video.uid: video for video in source.videos}
        self._clips: dict[str, list[Clip]] = defaultdict(list)
        for clip in source.clips:
            self._clips[clip.video_uid].append(clip)
        # The run itself counts what it rejected
        self._bare = replace(source, notes=(), rejected=(), missing=(), withdrawn=(), split_rules=())
        self._num_videos = sum(map(len, chunks))
        self._num_done = 0
        self._work = Assignments(chunks, suspects.counted())
        self._max_workers = max(1, min(cluster.num_workers, len(chunks)))
        self._loading: dict[WorkerId, LoadTeacher] = {}
        self._idle: set[WorkerId] = set()
        self._frames: dict[WorkerId, int] = {}  # to extract in the chunk that a worker is at
        self._with_frames: set[WorkerId] = set()  # workers that extracted frames in what they are at
        self._has_worked = False  # whether a worker has ended some work with frames since the last video was convicted
        self._crashes = 0  # of workers since then
        self._failed_starts = 0
        self._notes: set[str] = set()
        self._ready: Requests | None = None
        self._heard = time.monotonic()

    def run(self, requests: Requests) -> Requests:
        """Extract all chunks. Returns the requests with the embeddings of their class prompts."""
        self._requests = tuple(requests)
        with Progress(0, self._label(), "frames") as progress:
            for _ in range(self._max_workers):
                self._start()
            while not self._work.is_complete or self._ready is None:
                self._give_work()
                reports = self._cluster.reports(POLL_SEC)
                self._say_if_nobody_works(bool(reports), progress)
                for worker, report in reports:
                    self._receive(worker, report, progress)
        return self._ready

    # -- work --------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Start a worker. The first one also embeds the class prompts, or the next one if it is lost."""
        is_first = self._ready is None and not any(job.requests for job in self._loading.values())
        worker = self._cluster.start()
        self._loading[worker] = LoadTeacher(self._requests if is_first else ())
        self._cluster.send(worker, self._loading[worker])

    def _give_work(self) -> None:
        for worker in sorted(self._idle):
            work = self._work.take(worker)
            if work is None:
                return
            self._idle.remove(worker)
            self._cluster.send(worker, self._job_of(work))

    def _job_of(self, work: Work) -> Job:
        if isinstance(work, Trial):
            return TryVideo(self._with(work.uid))
        return ExtractVideos(self._with(*work.uids))

    def _with(self, *uids: str) -> Source:
        """The source with these videos and their clips only."""
        videos, clips = (self._videos[uid] for uid in uids), (clip for uid in uids for clip in self._clips[uid])
        return replace(self._bare, videos=tuple(videos), clips=tuple(clips))

    # -- reports -----------------------------------------------------------------------------------------------------

    def _receive(self, worker: WorkerId, report: Report, progress: Progress) -> None:
        if isinstance(report, Extended):
            self._frames[worker] = self._frames.get(worker, 0) + report.frames
            progress.extend(report.frames)
        elif isinstance(report, Updated):
            self._frames[worker] = self._frames.get(worker, 0) - report.frames
            self._with_frames.add(worker)
            progress.update(report.frames)
        elif isinstance(report, Noted):
            self._note(report.text, progress)
        elif isinstance(report, JobDone):
            self._finish(worker, report, progress)
        else:
            self._lose(worker, report, progress)

    def _finish(self, worker: WorkerId, report: JobDone, progress: Progress) -> None:
        self._idle.add(worker)
        if worker in self._loading:
            job = self._loading.pop(worker)
            if self._ready is None and len(job.requests) == len(self._requests):
                self._ready = report.ready
            return
        work = self._work.finish(worker)
        if worker in self._with_frames:
            self._has_worked, self._crashes = True, 0
        self._with_frames.discard(worker)
        self._frames.pop(worker, None)
        if isinstance(work, Trial):
            self._suspects.clear(work.uid)
        else:
            self._num_done += len(work.uids)
            progress.relabel(self._label())

    def _lose(self, worker: WorkerId, report: JobFailed | WorkerLost, progress: Progress) -> None:
        if isinstance(report, JobFailed):
            if _concerns_all_workers(report.error):
                raise report.error
            self._cluster.end(worker)
        loss = _loss(report)
        self._note(f"lost a worker on {self._cluster.place(worker)}: {loss.reason}", progress)
        self._idle.discard(worker)
        self._with_frames.discard(worker)
        progress.extend(-self._frames.pop(worker, 0))
        if worker in self._loading:
            self._lose_at_start(worker, loss)
        if self._work.work_of(worker) is not None:
            self._take_back(worker, loss, progress)
        is_needed = self._work.num_waiting > len(self._idle) + len(self._loading)
        if is_needed or not (self._loading or self._ready is not None):
            self._start()

    def _lose_at_start(self, worker: WorkerId, loss: _Loss) -> None:
        del self._loading[worker]
        self._failed_starts += 1
        if self._failed_starts >= MAX_LOSSES:
            ended = f"{self._failed_starts} workers ended before they had a teacher: {loss.reason}"
            raise loss.error or PipelineError(ended)

    def _take_back(self, worker: WorkerId, loss: _Loss, progress: Progress) -> None:
        """Hand out a lost worker's work again, and count an attempt of the videos that may have killed it.

        One that was alone is quarantined with the last attempt.
        """
        work = self._work.work_of(worker)
        uids = work.uids if isinstance(work, Chunk) else (work.uid,) if work is not None else ()
        unfinished = self._suspects.unfinished(uids) if loss.cause is Cause.CRASH else []
        self._crashes += loss.cause is Cause.CRASH
        if self._crashes >= MAX_CRASHES:
            raise PipelineError(
                f"{self._crashes} workers died, and meanwhile none has extracted a video: {loss.reason}"
            )
        is_proven = self._has_worked and len(uids) == 1 and bool(unfinished)
        if is_proven and self._suspects.count(uids[0], loss.reason) >= MAX_ATTEMPTS:
            self._quarantine(uids[0], loss.reason, progress)
            self._work.convict(worker)
            self._has_worked = False  # the next one is a video's fault only if other videos can be extracted after it
            return
        for uid in unfinished:
            self._suspects.count_once(uid, loss.reason)
        if self._work.lose(worker, loss.cause, unfinished) is not None:
            names = some(self._videos[uid].source for uid in uids)
            ended = f"{MAX_LOSSES} workers were lost while they extracted {names}: {loss.reason}"
            raise loss.error or PipelineError(ended)

    def _quarantine(self, uid: str, reason: str, progress: Progress) -> None:
        told = f"extracting it alone killed its worker: {reason}"
        self._suspects.quarantine(self._videos[uid], told)
        self._note(f"quarantined {self._videos[uid].source}: {told}", progress)

    # -- what is shown -----------------------------------------------------------------------------------------------

    def _label(self) -> str:
        return f"extracting frames of {self._num_videos} videos, {self._num_done} done"

    def _note(self, text: str, progress: Progress) -> None:
        """Show a line, once: workers that load the same teacher have the same remarks."""
        if text not in self._notes:
            self._notes.add(text)
            progress.note(text)

    def _say_if_nobody_works(self, is_heard: bool, progress: Progress) -> None:
        now = time.monotonic()
        if is_heard or len(self._loading) < self._max_workers:
            self._heard = now
        elif now - self._heard > WAITING_SEC:
            self._heard = now
            progress.note("no worker has its teacher yet: they are loading it, or the cluster has no room for them")


def _concerns_all_workers(error: Exception) -> bool:
    """Whether the data or the options are wrong, not the machine of one worker."""
    if isinstance(error, (StorageError, BusyError)):
        return False
    return isinstance(error, (CacheError, ModelError)) or getattr(error, "exit_code", 5) != 5


def _loss(report: JobFailed | WorkerLost) -> _Loss:
    if isinstance(report, JobFailed):
        return _Loss(Cause.ERROR, " ".join(str(report.error).split()) or type(report.error).__name__, report.error)
    return _Loss(Cause.NODE if report.with_its_node else Cause.CRASH, report.reason)
