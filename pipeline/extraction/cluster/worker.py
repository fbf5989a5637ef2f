"""The worker of a cluster: a teacher and decode processes, which extract one chunk of videos after another.

Knows nothing of how it is started and asked.
"""

import logging
import pickle
import queue
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.cluster.cluster import LoadTeacherOf
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
)
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.zero_shot_logits import with_class_text
from embedonce.pipeline.progress import Progress, heard_by
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup, batched
from embedonce.pipeline.teachers.teacher import Teacher, TextTeacher

log = logging.getLogger("embedonce")

TRIAL_PREFIX = "embedonce-trial-"


class Stopped(KeyboardInterrupt):
    """The run ends."""


class ChunkWorker:
    """Runs jobs, one at a time, in a thread of its own, and keeps what there is to report until it is asked."""

    def __init__(self, config: ExtractConfig, load_teacher: LoadTeacherOf):
        self._config, self._load_teacher = config, load_teacher
        self._teacher: BatchedTeacher | TeacherGroup | None = None
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, job: Job) -> None:
        """Start a job. There is none."""
        self._thread = threading.Thread(target=self._run, args=(job,), name="job", daemon=True)
        self._thread.start()

    def reports(self, wait_sec: float) -> list[Report]:
        """What there is to report; waits for at most wait_sec if there is nothing."""
        try:
            reports = [self._reports.get(timeout=wait_sec)]
        except queue.Empty:
            return []
        while not self._reports.empty():
            reports.append(self._reports.get())
        return reports

    def stop(self, wait_sec: float) -> bool:
        """End the job at its next sign of life. Returns whether it ended within wait_sec."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(wait_sec)
        return self._thread is None or not self._thread.is_alive()

    def _run(self, job: Job) -> None:
        listener = _Listener(self._reports.put, self._stop)
        log.addHandler(listener.handler)
        try:
            with heard_by(listener):
                report: Report = JobDone(self._do(job))
        except Stopped:
            return
        except BaseException as error:  # the run decides what to do, in another process
            report = JobFailed(portable(error))
        finally:
            log.removeHandler(listener.handler)
        self._reports.put(report)

    def _do(self, job: Job) -> tuple:
        if isinstance(job, LoadTeacher):
            return self._load(job)
        if isinstance(job, TryVideo):
            self._try(job)
        else:
            self._extract(job)
        return ()

    def _load(self, job: LoadTeacher) -> tuple:
        teacher = self._load_teacher(self._config)
        ready = tuple(with_class_text(request, teacher) for request in job.requests)
        if isinstance(teacher, TextTeacher):
            teacher.drop_text_tower()
        self._teacher = batched(teacher, self._config.most_images)  # one for all chunks: its batch size is found once
        return ready

    def _extract(self, job: ExtractVideos) -> None:
        chosen = frozenset(video.uid for video in job.source.videos)
        writer, _, _ = extract(self._config, job.source, self._loaded, chosen=chosen)
        writer.close()

    def _try(self, job: TryVideo) -> None:
        with tempfile.TemporaryDirectory(prefix=TRIAL_PREFIX) as folder:
            config = replace(self._config, cache_dir=Path(folder) / "cache")
            try:
                writer, _, _ = extract(config, job.source, self._loaded)
            except Exception as error:  # the worker is still alive, and the chunk will meet the same error
                log.info("tried alone: %s", error)
            else:
                writer.close()

    def _loaded(self) -> Teacher:
        assert self._teacher is not None, "LoadTeacher is the first job"
        return self._teacher


class _Listener:
    """Reports the frames and remarks of a job, and ends it when the worker is to stop."""

    def __init__(self, put: Callable[[Report], None], stop: threading.Event):
        self._put, self._stop = put, stop
        self.handler = _Warnings(lambda text: put(Noted(text)))

    def extended(self, amount: int, progress: Progress) -> None:
        self._report(Extended(amount), progress.unit)

    def updated(self, amount: int, progress: Progress) -> None:
        self._report(Updated(amount), progress.unit)

    def noted(self, text: str, progress: Progress) -> None:
        self._put(Noted(text))

    def _report(self, report: Report, unit: str) -> None:
        if self._stop.is_set():
            raise Stopped
        if unit == "frames":
            self._put(report)


class _Warnings(logging.Handler):
    """Passes warnings on, but for those that count a chunk as if it were a run."""

    def __init__(self, tell: Callable[[str], None]):
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != extract.__module__:
            self._tell(record.getMessage())


def portable(error: BaseException) -> Exception:
    """The error itself if another process can unpickle it, else one with its text."""
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:  # errors of libraries fail to be pickled in many ways
        copy = None
    if isinstance(copy, Exception) and str(copy) == str(error):
        return copy
    return PipelineError(f"{type(error).__name__}: {error}")
