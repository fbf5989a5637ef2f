"""Which frames of which videos are to be extracted, and the tasks that decode them."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from embedonce.cache.plan import Unit
from embedonce.cache.schema import seconds
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.decode_tasks import DecodeTask
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

    def task(self, uid: str) -> DecodeTask:
        """The task that decodes the pending frames of a video, to be run once."""
        video, (frame_index, pts) = self._writer.planned_videos[uid], self._frames[uid]
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
            plan=self._packet_plans.pop(uid, None),
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
