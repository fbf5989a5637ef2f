"""The clips of a source over planned videos, and what changes in a stored label set when a source has changed."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from embedonce.cache.clip_texts import ClipKey
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import PlannedVideo, PlanPart
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TIME_TOLERANCE_SEC, seconds
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.revision import Revision, revise
from embedonce.pipeline.sources.source import Clip, Source

WINDOW_SEC = 10.0  # maximum length of the clips that a whole video without annotations is cut into


class ClipIndex:
    """The clips of a source by video. A clip without an end is cut into windows of equal length, unless the source has
    one clip per video.
    """

    def __init__(self, source: Source):
        self._max_sec = math.inf if source.one_clip_per_video else WINDOW_SEC
        self._clips: dict[str, list[Clip]] = defaultdict(list)
        for clip in source.clips:
            self._clips[clip.video_uid].append(clip)

    def over(self, videos: Iterable[PlannedVideo]) -> list[ClipLabel]:
        """The clips over these videos."""
        return [
            cut
            for video in videos
            for clip in self._clips.get(video.uid, ())
            for cut in _cut(clip, video, self._max_sec)
        ]

    def texts_over(self, videos: Iterable[PlannedVideo]) -> dict[ClipKey, str]:
        """(video uid, clip id) -> text of the clips over these videos, "" for clips without one.

        InputError if clips of the same video and id have different texts.
        """
        texts: dict[ClipKey, str] = {}
        for video in videos:
            for clip in self._clips.get(video.uid, ()):
                for cut in _cut(clip, video, self._max_sec):
                    known = texts.setdefault((video.uid, cut.clip_id), clip.text)
                    if known != clip.text:
                        raise InputError(
                            f"two clips of {video.source} have the id {cut.clip_id!r} and different texts, "
                            f"{known[:60]!r} and {clip.text[:60]!r}: give them different ids"
                        )
        return texts


def revision_of(reader: CacheReader, plan: list[PlanPart], source: Source, labels: LabelSet) -> Revision:
    """The clips of a label set by plan part, given the source now. Raises LabelSetError if they must not change."""
    clips, videos = ClipIndex(source), {video.uid: video for part in plan for video in part.videos}
    current = {part.part: clips.over(part.videos) for part in plan}
    return revise(reader.clip_parts(labels.name), current, labels, source, videos)


def _cut(clip: Clip, video: PlannedVideo, max_sec: float) -> list[ClipLabel]:
    first_sec = float(seconds(video.first_pts, video.time_base))
    start = min(first_sec, clip.end_sec - TIME_TOLERANCE_SEC) if clip.start_sec == -math.inf else clip.start_sec
    if clip.end_sec != math.inf:
        return [ClipLabel(clip.clip_id, clip.video_uid, start, clip.end_sec, clip.label, clip.split, clip.labels)]
    count = max(1, math.ceil((video.end_sec - TIME_TOLERANCE_SEC - start) / max_sec))
    end = video.end_sec if video.end_sec > start else start + WINDOW_SEC  # it begins after the video: no frame is in it
    bounds = np.linspace(start, end, count + 1)
    return [
        ClipLabel(f"{clip.clip_id}:{i}", clip.video_uid, float(a), float(b), clip.label, clip.split, clip.labels)
        for i, (a, b) in enumerate(itertools.pairwise(bounds))
    ]
