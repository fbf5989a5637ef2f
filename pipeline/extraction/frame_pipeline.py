"""One pass over the pending shards: decode workers feed the teacher, and complete shards are committed."""

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np

from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.engines.engine import EngineOptions, Event, TaskDone, TaskFailed, TaskResult, WorkerCrashed
from embedonce.pipeline.engines.registry import make_engine
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.commit_thread import Committer
from embedonce.pipeline.extraction.decode_tasks import (
    DecodeMessage,
    DecodeMode,
    DecodeTask,
    NoneDecoded,
    Remark,
    Reshaped,
    Row,
    none_decoded,
    shared_bytes_of,
)
from embedonce.pipeline.extraction.identity import provenance
from embedonce.pipeline.extraction.pending_videos import PendingVideos
from embedonce.pipeline.extraction.plan_tasks import PlanTask
from embedonce.pipeline.extraction.quarantine import quarantine, quarantine_absent
from embedonce.pipeline.extraction.scan_tasks import ScanTask
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.stage_times import StageClock, StageTimes
from embedonce.pipeline.extraction.summary import pending_uids
from embedonce.pipeline.extraction.task_order import TaskOrder
from embedonce.pipeline.extraction.teacher_queue import EmbeddedRow, TeacherQueue
from embedonce.pipeline.extraction.video_tasks import VideoTask, work_on_video
from embedonce.pipeline.extraction.waves import NewVideos
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup
from embedonce.pipeline.video.decode import SKIPPING

Ended = TaskDone[DecodeTask] | TaskFailed[DecodeTask]


class FramePipeline:
    """Decodes the frames that a ShardBuilder lacks, embeds them, and commits the shards as they become complete.

    pending: the videos of the units to extract. new_videos: those that are planned meanwhile.
    """

    def __init__(
        self,
        config: ExtractConfig,
        writer: CacheWriter,
        teacher: BatchedTeacher | TeacherGroup,
        builder: ShardBuilder,
        pending: PendingVideos,
        new_videos: NewVideos,
        clock: StageClock,
    ):
        self.config, self.writer, self.teacher, self.builder = config, writer, teacher, builder
        self.pending, self.new_videos, self.clock = pending, new_videos, clock
        self._order = TaskOrder(pending, new_videos)
        self._ends = self._order.ends
        self.provenance = provenance(teacher)
        self._queue: TeacherQueue[DecodeTask, Row, Ended] = TeacherQueue(
            teacher, 1 + writer.identity.num_views, clock.teacher
        )
        self._modes: dict[tuple[str, int], str] = {}  # (uid, piece) -> how it was decoded
        self._remarks: dict[str, list[str]] = {}
        self._not_embeddable: dict[tuple[str, int], str] = {}  # (uid, piece) -> reason
        self._attempts: dict[str, int] = {}  # uid -> attempts that earlier runs used up
        self._crashes: Counter[tuple[str, int | None]] = Counter()  # (uid, piece) -> worker processes it crashed

    def run(self, uids: Collection[str], workers: int, progress: Progress) -> StageTimes:
        """Extract all units of these pending videos whose files exist, then those of the new ones."""
        self.clock.start()
        with Committer(self.writer) as committer, self._queue:
            self._commit_complete(committer)
            self._load_attempts()
            options = EngineOptions(workers, self.config.video_timeout, self._attempts_used, shared_bytes_of(workers))
            engine = make_engine(self.config.engine, work_on_video, options)
            for event in engine.run(self._order.tasks(uids, progress)):
                self._receive(event, progress)
                self._embed(committer, progress)
            self._embed(committer, progress, is_last=True)
        return self.clock.stop(
            workers,
            self._order.num_tasks,
            committer.busy_sec,
            device=self.teacher.device_facts().get("device", ""),
            teachers=len(self.teacher.members),
            teachers_cpu_sec=self.teacher.cpu_sec,
            is_batch_given=self.config.most_images is not None,
        )

    def decode_modes(self) -> list[tuple[str, int]]:
        """(how videos were decoded, number of videos), most frequent first."""
        modes = dict(sorted(self._modes.items(), key=lambda item: item[1] != SKIPPING))
        return Counter({uid: mode for (uid, _), mode in modes.items()}.values()).most_common()

    def _load_attempts(self) -> None:
        self._attempts = {uid: entry.attempts for uid, entry in self.writer.attempts().items()}
        ours = set(self._attempts)
        if self.writer.is_shared:
            ours &= set(self.writer.planned_videos)  # another process may have planned others since
        for uid in ours - pending_uids(self.writer):
            self.writer.forget_attempts(uid)  # it was completed, and the run was killed before it could record that

    def _attempts_used(self, task: VideoTask) -> int:
        return 0 if isinstance(task, ScanTask) else self._attempts.get(task.uid, 0) + self._crashes[_key(task)]

    def _receive(self, event: Event[Any, Any], progress: Progress) -> None:
        if isinstance(event, TaskDone | TaskFailed):
            self.clock.decode_sec += event.busy_sec
        if isinstance(event.task, ScanTask):
            self.new_videos.receive(event)
        elif not self._order.is_open(event.task.uid):
            return  # another piece of this video has failed
        elif isinstance(event, WorkerCrashed):
            self._count_crash(event)
        elif isinstance(event.task, PlanTask):
            self._order.receive_plan(event)
        elif isinstance(event, TaskResult):
            self._receive_message(event.task, event.value, progress)
        else:
            self._queue.end(event)

    def _count_crash(self, event: WorkerCrashed[Any]) -> None:
        """Count an attempt at a video when one of its pieces has crashed more workers than any other.

        What kills several processes at once, such as a lack of memory, is one attempt at a video in pieces.
        """
        uid, piece = _key(event.task)
        earlier = max((count for (other, _), count in self._crashes.items() if other == uid), default=0)
        self._crashes[uid, piece] += 1
        if self._crashes[uid, piece] > earlier:
            self.writer.count_attempt(uid, event.reason)

    def _receive_message(self, task: DecodeTask, message: DecodeMessage, progress: Progress) -> None:
        uid = task.uid
        if isinstance(message, DecodeMode):
            self._modes[uid, task.piece] = message.text
        elif isinstance(message, NoneDecoded):
            self._ends[uid].complaints[task.piece] = message.complaint
        elif isinstance(message, Remark):
            self._remarks.setdefault(uid, []).append(message.text)
            progress.note(f"{self.pending.videos[uid].source}: {message.text}")
        elif isinstance(message, Reshaped):
            self.builder.refuse(uid, message.i)
            progress.update()
        else:
            self._queue.add(task, message)
            progress.update(len(message))

    def _embed(self, committer: Committer, progress: Progress, is_last: bool = False) -> None:
        """Embed what fills a batch, close the videos that ended, and commit the shards that are complete."""
        for item in self._queue.pop(is_last):
            if isinstance(item, EmbeddedRow):
                self._add(item)
            else:
                self._end_piece(item, progress)
            self._commit_complete(committer)
        self._commit_complete(committer)  # of videos that sent no rows

    def _add(self, item: EmbeddedRow[DecodeTask, Row]) -> None:
        uid, row, piece = item.task.uid, item.row, (item.task.uid, item.task.piece)
        if uid not in self._ends:
            return
        if not np.isfinite(item.embeddings).all():
            reason = (
                f"the teacher's embedding of frame {self.pending.frame_index(uid)[row.i]} of {uid} is NaN or infinite"
            )
            if piece not in self._not_embeddable and not self._embeds_gray():
                raise PipelineError(
                    f"{reason}, as is that of a plain gray image; nothing of this batch was kept: check the teacher's "
                    "weights and --device"
                )
            self._not_embeddable.setdefault(piece, reason)
        if piece not in self._not_embeddable:
            self.builder.add(uid, row.i, row.jpeg, item.embeddings.astype(np.float16), row.crop_crc32)

    def _embeds_gray(self) -> bool:
        """Whether the teacher still works: a frame that it cannot embed is then the fault of the frame."""
        size = self.teacher.identity.input_size
        return bool(np.isfinite(self._queue.embed(np.full((1, size, size, 3), 128, np.uint8))).all())

    def _end_piece(self, event: Ended, progress: Progress) -> None:
        """A video ends with the last of its pieces, or once it is known which of them fails first."""
        uid, piece = event.task.uid, event.task.piece
        ends = self._ends.get(uid)
        if ends is None:
            return
        if isinstance(event, TaskFailed):
            ends.failed(piece, event.reason, event.is_temporary)
        elif (uid, piece) in self._not_embeddable:
            ends.failed(piece, self._not_embeddable[uid, piece])
        else:
            ends.done(piece)
        num_rows, is_empty = self.pending.num_rows([uid]), not self.builder.count(uid)
        if ends.failure is not None:
            self._quarantine(uid, *ends.failure, progress)
        elif ends.are_all and is_empty and num_rows:
            self._quarantine(uid, none_decoded(num_rows, ends.complaint), False, progress)
        elif ends.are_all:
            self._end_video(uid)
        elif not is_empty:
            for complete in ends.complete:
                self.builder.end_piece(uid, complete)

    def _end_video(self, uid: str) -> None:
        del self._ends[uid]
        self.builder.end(uid)
        self.clock.video_sec += self.pending.seconds_to_do(uid)
        if uid in self._attempts or any(other == uid for other, _ in self._crashes):
            self.writer.forget_attempts(uid)

    def _quarantine(self, uid: str, reason: str, is_temporary: bool, progress: Progress) -> None:
        del self._ends[uid]
        self.builder.drop(uid)
        if is_temporary:
            quarantine_absent(self.writer, uid, reason)
        else:
            quarantine(self.writer, self.pending.videos[uid], reason)
        progress.note(f"quarantined {self.pending.videos[uid].source}: {reason}")

    def _commit_complete(self, committer: Committer) -> None:
        for name, batch in self.builder.pop_complete():
            uids = [segment.video_uid for segment in batch.segments]
            modes = {uid: self._modes.get((uid, self.pending.piece_of(uid, name))) for uid in uids}
            decoding = {
                "decoding": {uid: mode for uid, mode in modes.items() if mode is not None},
                "remarks": {uid: self._remarks[uid] for uid in uids if uid in self._remarks},
            }
            # anew: rows that overflowed were embedded in another precision, and batches that did not fit were halved
            how = {**self.teacher.device_facts(), **self.teacher.batch_facts()}
            if len(self.teacher.members) > 1:
                how["teacher_processes"] = len(self.teacher.members)
            committer.submit(name, batch, self.provenance | how | decoding)


def _key(task: DecodeTask | PlanTask) -> tuple[str, int | None]:
    """(uid, piece of the video that the task is about, if it is about one)."""
    return task.uid, task.piece if isinstance(task, DecodeTask) else None
