"""One pass over the pending shards: decode workers feed the teacher, and complete shards are committed."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from embedonce.cache.plan import Unit
from embedonce.cache.schema import seconds
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.engines.engine import EngineOptions, Event, TaskFailed, TaskResult, WorkerCrashed
from embedonce.pipeline.engines.registry import make_engine
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.commit_thread import Committer
from embedonce.pipeline.extraction.decode_tasks import (
    DecodeMessage,
    DecodeMode,
    DecodeTask,
    Remark,
    Reshaped,
    decode_video,
    none_decoded,
    shared_bytes_of,
)
from embedonce.pipeline.extraction.identity import provenance
from embedonce.pipeline.extraction.quarantine import quarantine, quarantine_absent
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.stage_times import StageClock, StageTimes
from embedonce.pipeline.extraction.teacher_queue import EmbeddedRow, Ended, TeacherQueue
from embedonce.pipeline.extraction.upright import shape_of
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.source import Video
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup
from embedonce.pipeline.video.skipping import PackedPlan


class FramePipeline:
    """Decodes the frames that a ShardBuilder lacks, embeds them, and commits the shards as they become complete.

    videos: by uid, those whose files exist. packet_plans: uid -> which packets must be decoded, for videos that this
    run has scanned.
    """

    def __init__(
        self,
        config: ExtractConfig,
        writer: CacheWriter,
        teacher: BatchedTeacher | TeacherGroup,
        builder: ShardBuilder,
        videos: Mapping[str, Video],
        packet_plans: Mapping[str, PackedPlan | None],
        clock: StageClock,
    ):
        self.config, self.writer, self.teacher, self.builder = config, writer, teacher, builder
        self.videos, self.packet_plans, self.clock = videos, packet_plans, clock
        self.provenance = provenance(teacher)
        self.pending = builder.pending_frames()
        self._num_planned = _rows_by_video(writer.units)
        self._queue = TeacherQueue(teacher, 1 + writer.identity.num_views, clock.teacher)
        self._modes: dict[str, str] = {}  # uid -> how it was decoded
        self._remarks: dict[str, list[str]] = {}
        self._not_embeddable: dict[str, str] = {}  # uid -> reason
        self._attempts: dict[str, int] = {}  # uid -> worker processes it crashed, in earlier runs and this one

    def run(self, workers: int, progress: Progress) -> StageTimes:
        """Extract all pending shards whose videos exist."""
        tasks = [self._task(uid) for uid in self.pending if uid in self.videos]
        self.clock.start()
        with Committer(self.writer) as committer, self._queue:
            self._commit_complete(committer)
            self._load_attempts()
            attempts, shared_bytes = lambda task: self._attempts.get(task.uid, 0), shared_bytes_of(workers)
            options = EngineOptions(workers, self.config.video_timeout, attempts, shared_bytes)
            engine = make_engine(self.config.engine, decode_video, options)
            for event in engine.run(tasks):
                self._receive(event, progress)
                self._embed(committer, progress)
            self._embed(committer, progress, is_last=True)
        device, teachers = self.teacher.device_facts().get("device", ""), len(self.teacher.members)
        return self.clock.stop(workers, len(tasks), committer.busy_sec, device, teachers, self.teacher.cpu_sec)

    def decode_modes(self) -> list[tuple[str, int]]:
        """(how videos were decoded, number of videos), most frequent first."""
        return Counter(self._modes.values()).most_common()

    def _seconds_to_do(self, uid: str) -> float:
        """The length of a video, in seconds; of one with committed units, the part of it that its other frames are."""
        video, num_pending = self.writer.planned_videos[uid], len(self.pending[uid][1])
        length = video.end_sec - float(seconds(video.first_pts, video.time_base))
        return length * num_pending / self._num_planned[uid] if num_pending else length

    def _load_attempts(self) -> None:
        self._attempts = {uid: entry.attempts for uid, entry in self.writer.attempts().items()}
        for uid in set(self._attempts) - set(self.pending):
            self.writer.forget_attempts(uid)  # it was completed, and the run was killed before it could record that

    def _task(self, uid: str) -> DecodeTask:
        video, (frame_index, pts) = self.writer.planned_videos[uid], self.pending[uid]
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
            plan=self.packet_plans.get(uid),
        )

    def _receive(self, event: Event[DecodeTask, DecodeMessage], progress: Progress) -> None:
        uid = event.task.uid
        if isinstance(event, TaskResult):
            self._receive_message(uid, event.value, progress)
        elif isinstance(event, WorkerCrashed):
            self._attempts[uid] = self._attempts.get(uid, 0) + 1
            self.writer.count_attempt(uid, event.reason)
        else:
            self.clock.decode_sec += event.busy_sec
            self._queue.end(event)

    def _receive_message(self, uid: str, message: DecodeMessage, progress: Progress) -> None:
        if isinstance(message, DecodeMode):
            self._modes[uid] = message.text
        elif isinstance(message, Remark):
            self._remarks.setdefault(uid, []).append(message.text)
            progress.note(f"{self.videos[uid].source}: {message.text}")
        elif isinstance(message, Reshaped):
            self.builder.refuse(uid, message.i)
            progress.update()
        else:
            self._queue.add(uid, message)
            progress.update(len(message))

    def _embed(self, committer: Committer, progress: Progress, is_last: bool = False) -> None:
        """Embed what fills a batch, close the videos that ended, and commit the shards that are complete."""
        for item in self._queue.pop(is_last):
            if isinstance(item, EmbeddedRow):
                self._add(item)
            else:
                self._end_video(item, progress)
            self._commit_complete(committer)
        self._commit_complete(committer)  # of videos that sent no rows

    def _add(self, item: EmbeddedRow) -> None:
        uid, row = item.uid, item.row
        if not np.isfinite(item.embeddings).all():
            reason = f"the teacher's embedding of frame {self.pending[uid][0][row.i]} of {uid} is NaN or infinite"
            if uid not in self._not_embeddable and not self._embeds_gray():
                raise PipelineError(
                    f"{reason}, as is that of a plain gray image; nothing of this batch was kept: check the teacher's "
                    "weights and --device"
                )
            self._not_embeddable.setdefault(uid, reason)
        if uid not in self._not_embeddable:
            self.builder.add(uid, row.i, row.jpeg, item.embeddings.astype(np.float16), row.crop_crc32)

    def _embeds_gray(self) -> bool:
        """Whether the teacher still works: a frame that it cannot embed is then the fault of the frame."""
        size = self.teacher.identity.input_size
        return bool(np.isfinite(self._queue.embed(np.full((1, size, size, 3), 128, np.uint8))).all())

    def _end_video(self, event: Ended, progress: Progress) -> None:
        uid = event.task.uid
        reason = event.reason if isinstance(event, TaskFailed) else self._not_embeddable.get(uid)
        if reason is None and len(event.task.pts) and not self.builder.count(uid):
            reason = none_decoded(len(event.task.pts))
        if reason is None:
            self.builder.end(uid)
            self.clock.video_sec += self._seconds_to_do(uid)
            if uid in self._attempts:
                self.writer.forget_attempts(uid)
            return
        self.builder.drop(uid)
        if isinstance(event, TaskFailed) and event.is_temporary:
            quarantine_absent(self.writer, uid, reason)
        else:
            quarantine(self.writer, self.videos[uid], reason)
        progress.note(f"quarantined {self.videos[uid].source}: {reason}")

    def _commit_complete(self, committer: Committer) -> None:
        for name, batch in self.builder.pop_complete():
            uids = [segment.video_uid for segment in batch.segments]
            decoding = {
                "decoding": {uid: self._modes[uid] for uid in uids if uid in self._modes},
                "remarks": {uid: self._remarks[uid] for uid in uids if uid in self._remarks},
            }
            # anew: rows that overflowed were embedded in another precision, and batches that did not fit were halved
            how = {**self.teacher.device_facts(), "batch_size": self.teacher.batch_size}
            if len(self.teacher.members) > 1:
                how["teacher_processes"] = len(self.teacher.members)
            committer.submit(name, batch, self.provenance | how | decoding)


def _rows_by_video(units: Iterable[Unit]) -> Counter[str]:
    """uid -> number of planned rows in all units."""
    rows: Counter[str] = Counter()
    for unit in units:
        for segment in unit.segments:
            rows[segment.video_uid] += len(segment.frame_index)
    return rows
