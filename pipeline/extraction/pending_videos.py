"""Which frames of which videos are to be extracted, and the tasks that decode them."""

import bisect
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from embedonce.cache.plan import Unit
from embedonce.cache.schema import seconds
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.decode_tasks import DecodeTask
from embedonce.pipeline.extraction.pieces import cut, is_long
from embedonce.pipeline.extraction.plan_tasks import PlanTask
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.upright import shape_of
from embedonce.pipeline.sources.source import Video
from embedonce.pipeline.video.skipping import PackedPlan

REORDERED = 4  # of the last videos, for each decode process; the rows of all of them may have to wait in memory


class PendingVideos:
    """The videos of the units that a ShardBuilder collects. videos: by uid, those whose files exist."""

    def __init__(self, config: ExtractConfig, writer: CacheWriter, builder: ShardBuilder, videos: Mapping[str, Video]):
        self.videos = videos
        self._config, self._writer, self._builder = config, writer, builder
        self._frames: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # uid -> (frame_index, pts)
        self._num_planned: Counter[str] = Counter()  # rows in all units, committed ones too
        self._packet_plans: dict[str, PackedPlan | None] = {}
        self._pieces: dict[tuple[str, str], int] = {}  # (uid, unit) -> piece of the video
        for unit in writer.units:
            self._count(unit)

    def add(self, units: Collection[Unit], packet_plans: Mapping[str, PackedPlan | None]) -> list[str]:
        """Collect these units, too. packet_plans: uid -> which packets must be decoded, of videos scanned in this run.

        Returns the uids of their videos in the order in which to decode them.
        """
        uids = list(dict.fromkeys(segment.video_uid for unit in units for segment in unit.segments))
        self._builder.add_units(units)
        self._frames |= self._builder.pending_frames(uids)
        self._packet_plans |= packet_plans
        return longest_last_first(uids, self._bytes_to_do, REORDERED * self._config.num_decode_workers)

    def add_planned(self, units: Collection[Unit], packet_plans: Mapping[str, PackedPlan | None]) -> list[str]:
        """As add(), for units that were planned since this object was made."""
        for unit in units:
            self._count(unit)
        return self.add(units, packet_plans)

    def __contains__(self, uid: str) -> bool:
        return uid in self._frames

    def frame_index(self, uid: str) -> np.ndarray:
        """(n,) int64: presentation indexes of the pending frames of a video."""
        return self._frames[uid][0]

    def num_rows(self, uids: Collection[str]) -> int:
        """Pending frames of these videos."""
        return sum(len(self._frames[uid][0]) for uid in uids)

    def seconds_to_do(self, uid: str) -> float:
        """The length of a video, in seconds; of one with committed units, the part of it that its other frames are."""
        num_pending = len(self._frames[uid][1])
        length = self._length(uid)
        return length * num_pending / self._num_planned[uid] if num_pending else length

    def tasks(self, uid: str) -> list[DecodeTask]:
        """The tasks that decode the pending frames of a video, to be run once: one, or a long video's pieces."""
        plan, (frame_index, pts) = self._packet_plans.pop(uid, None), self._frames[uid]
        units, rows = zip(*self._builder.segments(uid), strict=True)
        borders = cut(plan, pts, rows)
        self._builder.cut(uid, borders)
        self._pieces |= {(uid, unit): bisect.bisect(borders, i) - 1 for i, unit in enumerate(units)}
        whole = self._task(uid, frame_index, pts, plan)
        if len(borders) == 1 or plan is None:
            return [whole]
        bounds = [*np.append(0, np.cumsum(rows))[borders].tolist(), len(pts)]
        return [_piece(whole, i, bounds) for i in range(len(borders))]

    def plan_task(self, uid: str) -> PlanTask | None:
        """The task that finds out whether a video can be cut; None if that is known, or if it is too short for that."""
        video, pts = self._writer.planned_videos[uid], self._frames[uid][1]
        has_units = np.count_nonzero([rows for _, rows in self._builder.segments(uid)]) > 1
        if not has_units or video.by_order or self._packet_plans.get(uid) is not None:
            return None
        most = video.num_frames * len(pts) / max(self._num_planned[uid], 1)
        return PlanTask(uid, self.videos[uid].path, self._config.decoder, pts) if is_long(most) else None

    def set_plan(self, uid: str, plan: PackedPlan) -> None:
        """What the task found."""
        self._packet_plans[uid] = plan

    def piece_of(self, uid: str, unit: str) -> int:
        """Which piece of a video a unit belongs to."""
        return self._pieces.get((uid, unit), 0)

    def _task(self, uid: str, frame_index: np.ndarray, pts: np.ndarray, plan: PackedPlan | None) -> DecodeTask:
        video = self._writer.planned_videos[uid]
        return DecodeTask(
            uid=uid,
            path=self.videos[uid].path,
            decoder=self._config.decoder,
            frame_index=frame_index,
            pts=pts,
            by_order=video.by_order,
            shape=shape_of(video),
            jpeg_quality=self._config.jpeg_quality,
            views=video.views,
            crop_size=self._writer.identity.teacher.input_size,
            duration_sec=self._length(uid),
            fingerprint=video.fingerprint,
            plan=plan,
        )

    def _bytes_to_do(self, uid: str) -> float:
        """The size of a video, or of its part that is pending: about proportional to the time that decoding takes."""
        return self._writer.planned_videos[uid].num_bytes * len(self._frames[uid][1]) / max(1, self._num_planned[uid])

    def _length(self, uid: str) -> float:
        video = self._writer.planned_videos[uid]
        return video.end_sec - float(seconds(video.first_pts, video.time_base))

    def _count(self, unit: Unit) -> None:
        for segment in unit.segments:
            self._num_planned[segment.video_uid] += len(segment.frame_index)


def longest_last_first(uids: Sequence[str], length: Callable[[str], float], count: int) -> list[str]:
    """The uids in order, but the longest of the last ones first.

    No process then begins with a long video while the others have nothing left to do.
    """
    begin = max(0, len(uids) - count)
    return [*uids[:begin], *sorted(uids[begin:], key=length, reverse=True)]


def _piece(whole: DecodeTask, number: int, bounds: list[int]) -> DecodeTask:
    """Piece number of a task. bounds: the first row of each piece, and the number of rows."""
    assert whole.plan is not None, "videos without a plan are not cut"
    first, stop = bounds[number], bounds[number + 1]
    return replace(
        whole,
        frame_index=whole.frame_index[first:stop],
        pts=whole.pts[first:stop],
        plan=whole.plan.part(first, stop),
        piece=number,
        pieces=len(bounds) - 1,
        first_row=first,
    )
