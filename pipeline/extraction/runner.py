"""Stage one: videos and a teacher in, a committed cache out.

Knows the order of things (plan, decode, embed, commit); every step itself lives elsewhere.
"""

import contextlib
import logging
from collections import Counter
from functools import partial

import numpy as np

from embedonce.cache.errors import CacheError
from embedonce.cache.plan import Unit
from embedonce.cache.schema import Teacher, seconds
from embedonce.cache.store import open_writer
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.engines.engine import EngineOptions, TaskDone, TaskFailed, TaskResult, WorkerCrashed
from embedonce.pipeline.engines.registry import make_engine
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.commit_thread import Committer
from embedonce.pipeline.extraction.identity import make_identity
from embedonce.pipeline.extraction.planning import plan_new, quarantine, quarantine_absent
from embedonce.pipeline.extraction.preflight import check_space, run_preflight
from embedonce.pipeline.extraction.provenance import provenance
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.summary import ExtractResult, account
from embedonce.pipeline.extraction.teacher_check import check_teacher
from embedonce.pipeline.extraction.upright import shape_of
from embedonce.pipeline.extraction.video_tasks import DecodeMode, DecodeTask, Remark, Reshaped, Row, decode_video
from embedonce.pipeline.files.output_folder import check_saved_settings
from embedonce.pipeline.files.recognition import is_settings
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.source import Source

log = logging.getLogger(__name__)

SETTINGS = "extract_config.yaml"


def extract(config: ExtractConfig, source: Source, load_teacher) -> tuple[CacheWriter, Teacher, ExtractResult]:
    """Extract everything of source that is not in the cache yet.

    load_teacher: () -> Teacher; called once the target is known to be writable and the new videos are scanned.
    Returns the open writer, the teacher, and the account of the run.
    """
    check_saved_settings(config.cache_dir / SETTINGS, partial(is_settings, kind=ExtractConfig))
    survey = run_preflight(config, source)
    source = survey.source
    check_space(config, survey.estimate.num_bytes)
    teacher = load_teacher()
    writer = open_writer(config.cache_dir, make_identity(config, teacher))
    try:
        if survey.known:
            check_teacher(writer.reader(), teacher)
            if writer.rebuild_manifest_if_stale():
                log.info("manifest.json did not say what the records say: it was rebuilt from them")
        continued = writer.incomplete_uids()  # what is left of them was not what their scans prepared for
        plan_new(writer, source, survey.scanned, config.shard_frames)
        writer.write_sidecar(SETTINGS, config.as_yaml())
        plans = {uid: scan.plan for uid, scan in survey.scanned.scans.items() if uid not in continued}
        _run_units(config, writer, source, teacher, plans)
        writer.write_manifest()
        return writer, teacher, account(writer, source)
    except BaseException:
        with contextlib.suppress(CacheError, PipelineError, OSError):  # what ended the run is what is told
            if writer.plan:
                log.warning("%s", account(writer, source).line)
        writer.close()
        raise


def _run_units(config: ExtractConfig, writer: CacheWriter, source: Source, teacher: Teacher, plans: dict) -> None:
    videos = {video.uid: video for video in source.videos}
    pending = _pending_units(writer, set(videos))
    shape = (1 + writer.identity.num_views, writer.identity.teacher.embed_dim)
    assembly = ShardBuilder(pending, writer.planned_videos, shape)
    for name in writer.quarantined():
        assembly.drop(name)
    run = _Run(config, writer, teacher, assembly, videos, plans)
    with Progress(assembly.num_rows, "extracting frames", "frames") as progress, Committer(writer) as run.committer:
        run.everything(config.num_decode_workers, progress)
    ways = Counter(run.ways.values()).most_common()
    if ways:
        log.info("decoding: %s", ", ".join(f"{count} videos {way}" for way, count in ways))


def _pending_units(writer: CacheWriter, there: set[str]) -> tuple[Unit, ...]:
    """The units to do, with those videos that are there. Others in the same units go into quarantine."""
    done, out = writer.committed_units(), set(writer.quarantined())
    pending = [unit for unit in writer.units if unit.name not in done]
    wanted = {unit.name: {segment.video_uid for segment in unit.segments} - out for unit in pending}
    can_be_done = tuple(unit for unit in pending if not wanted[unit.name] or wanted[unit.name] & there)
    absent = {uid for unit in can_be_done for uid in wanted[unit.name] - there}
    for uid in sorted(absent):
        quarantine_absent(writer, uid)
    if absent:
        log.warning("%d planned videos are not there any more: the shards they share are finished without", len(absent))
    if len(pending) > len(can_be_done):
        log.info("%d units wait for videos that are not there", len(pending) - len(can_be_done))
    if done and can_be_done:
        log.info("resuming: %d units committed, %d to do", len(done), len(can_be_done))
    return can_be_done


class _Run:
    """One pass over the pending units: decode processes feed the teacher, complete units are committed."""

    def __init__(
        self, config, writer: CacheWriter, teacher: Teacher, assembly: ShardBuilder, videos: dict, plans: dict
    ):
        self.config, self.writer, self.teacher, self.assembly, self.videos = config, writer, teacher, assembly, videos
        self.plans = plans  # uid -> what decoding it needs, of videos that were scanned in this run
        self.committer: Committer | None = None
        self.provenance = provenance(teacher)
        self.batch: list = []  # (uid, Row) waiting for the teacher
        self.ended: list[TaskDone | TaskFailed] = []  # their last rows may be in the batch still
        self.wanted = assembly.wanted()
        self.ways: dict[str, str] = {}  # uid -> how it was decoded
        self.remarks: dict[str, list[str]] = {}  # uid -> what was noticed while it was decoded
        self.unusable: dict[str, str] = {}  # uid -> what the teacher could not make of it
        self.attempts: dict[str, int] = {}  # uid -> processes that were lost over it, in earlier runs and this one

    def _computing(self) -> dict:
        """What the teacher says of itself by now: rows that overflowed were computed in another precision."""
        return getattr(self.teacher, "provenance", dict)()

    def everything(self, workers: int, progress: Progress) -> None:
        tasks = [self._task(uid) for uid in self.wanted if uid in self.videos]
        self._commit_complete()
        self.attempts = attempts = {uid: facts["attempts"] for uid, facts in self.writer.attempts().items()}
        for uid in set(attempts) - set(self.wanted):
            self.writer.forget_attempts(uid)  # it ended well, and the run was killed before it could say so
        options = EngineOptions(workers, self.config.video_timeout, lambda task: attempts.get(task.uid, 0))
        for event in make_engine(self.config.engine, decode_video, options).run(tasks):
            if isinstance(event, WorkerCrashed):
                attempts[event.task.uid] = attempts.get(event.task.uid, 0) + 1
                self.writer.count_attempt(event.task.uid, event.reason)
            elif isinstance(event, TaskResult) and isinstance(event.value, DecodeMode):
                self.ways[event.task.uid] = event.value.text
            elif isinstance(event, TaskResult) and isinstance(event.value, Remark):
                self.remarks.setdefault(event.task.uid, []).append(event.value.text)
                progress.note(f"{self.videos[event.task.uid].source}: {event.value.text}")
            elif isinstance(event, TaskResult) and isinstance(event.value, Reshaped):
                self.assembly.refuse(event.task.uid, event.value.i)
                progress.update()
            elif isinstance(event, TaskResult):
                self.batch += [(event.task.uid, row) for row in event.value]
                progress.update(len(event.value))
            else:
                self.ended.append(event)
            if len(self.batch) * self.teacher_views >= self.config.batch_size:
                self._settle(progress)
        self._settle(progress)

    def _settle(self, progress: Progress) -> None:
        """Embed what waits, close the videos that ended, commit the units that are complete."""
        self._embed()
        for event in self.ended:
            self._end(event, progress)
        self.ended = []
        self._commit_complete()

    @property
    def teacher_views(self) -> int:
        return 1 + self.writer.identity.num_views

    def _task(self, uid: str) -> DecodeTask:
        video, (frame_index, pts) = self.writer.planned_videos[uid], self.wanted[uid]
        return DecodeTask(
            uid=uid,
            path=self.videos[uid].path,
            decoder=self.config.decoder,
            frame_index=frame_index,
            pts=pts,
            by_order=video.by_order,
            shape=shape_of(video),
            jpeg_quality=self.config.jpeg_quality,
            views=video.views,
            crop_size=self.writer.identity.teacher.input_size,
            duration_sec=video.end_sec - float(seconds(video.first_pts, video.time_base)),
            fingerprint=video.fingerprint,
            plan=self.plans.get(uid),
        )

    def _embed(self) -> None:
        if not self.batch:
            return
        crops = np.concatenate([row.crops for _, row in self.batch])
        embeddings = self.teacher.embed(crops)
        rows = embeddings.reshape(len(self.batch), self.teacher_views, -1)
        finite = np.isfinite(rows).all((1, 2))
        for (uid, row), row_embeddings, is_finite in zip(self.batch, rows, finite, strict=True):
            if not is_finite:
                sentence = f"the teacher's embedding of frame {self._frame(uid, row)} of {uid} is not finite"
                if not finite.any():
                    raise PipelineError(f"{sentence}, nor is any other of its batch; nothing of them was kept")
                self.unusable.setdefault(uid, sentence)
            if uid in self.unusable:
                continue
            self.assembly.add(uid, row.i, row.jpeg, row_embeddings.astype(np.float16), row.crop_crc32)
        self.batch = []

    def _frame(self, uid: str, row: Row) -> int:
        return int(self.wanted[uid][0][row.i])

    def _end(self, event: TaskDone | TaskFailed, progress: Progress) -> None:
        uid = event.task.uid
        reason = event.reason if isinstance(event, TaskFailed) else self.unusable.get(uid)
        if reason is None and len(event.task.pts) and not self.assembly.count(uid):
            reason = f"none of its {len(event.task.pts)} wanted frames can be decoded"
        if reason is None:
            self.assembly.end(uid)
            if uid in self.attempts:
                self.writer.forget_attempts(uid)
            return
        self.assembly.drop(uid)
        if isinstance(event, TaskFailed) and event.is_temporary:
            quarantine_absent(self.writer, uid, reason)
        else:
            quarantine(self.writer, self.videos[uid], reason)
        progress.note(f"quarantined {self.videos[uid].source}: {reason}")

    def _commit_complete(self) -> None:
        for name, batch in self.assembly.pop_complete():
            uids = [segment.video_uid for segment in batch.segments]
            ways = {uid: self.ways[uid] for uid in uids if uid in self.ways}
            remarks = {uid: self.remarks[uid] for uid in uids if uid in self.remarks}
            facts = self.provenance | self._computing() | {"decoding": ways, "remarks": remarks}
            self.committer.submit(name, batch, facts)
