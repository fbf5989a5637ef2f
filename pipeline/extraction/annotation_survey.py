"""A survey of annotated videos: counts of videos, clips, classes and frames, as data and as JSON.

Decodes nothing; only the actual lengths of videos are read from their headers.
"""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

from embedonce.pipeline.engines.engine import EngineOptions, TaskResult
from embedonce.pipeline.engines.registry import DEFAULT_ENGINE, make_engine
from embedonce.pipeline.extraction.scan_tasks import LengthTask, ends_early, read_length
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.frames.time_counts import count_empty, count_requested
from embedonce.pipeline.naming.uids import recording_of
from embedonce.pipeline.sources.source import Source, Video, union, windows_by_video

SPLITS = ("train", "val", "test")
# Of a canonical frame: dim, blurred video as in the archive, and sharp, noisy test footage (docs/benchmarks.md)
MIN_JPEG_BYTES, MAX_JPEG_BYTES = 20_000, 44_000
EMBEDDING_BYTES = 2  # per dimension
HEADER_TIMEOUT_SEC = 30.0

ShortVideos = dict[str, tuple[float, float]]  # uid -> (actual, listed) end in seconds


@dataclass(frozen=True)
class SplitRule:
    """The split of a video and the rule that assigned it, in words."""

    split: str
    rule: str


@dataclass(frozen=True)
class KindSurvey:
    """Counts for one kind of annotation.

    clips: by split. classes: name -> clips in each of SPLITS. without_frame: clips that contain no sampled time.
    shared_frames: frames that lie in several windows. splits: by video uid.
    """

    videos: int
    missing: int
    clips: dict[str, int]
    unlabeled: int
    classes: dict[str, list[int]]
    without_frame: int
    frames: int
    shared_frames: int
    splits: dict[str, SplitRule]

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return {"unlabelled" if name == "unlabeled" else name: value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class VideoCounts:
    """Counts of videos of all kinds together; missing: annotated, and not on disk."""

    on_disk: int
    missing: int
    stereo: int
    redacted: int
    redacted_minutes: float
    hours: float


@dataclass(frozen=True)
class Survey:
    """What a data set offers and what extracting it takes. num_bytes: a low and a high estimate."""

    kinds: dict[str, KindSurvey]
    videos: VideoCounts
    fps: float
    views: int
    frames: int
    num_bytes: tuple[int, int]
    short: ShortVideos

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "kinds": {kind: counts.document() for kind, counts in self.kinds.items()},
            "videos": asdict(self.videos),
            "fps": self.fps,
            "views": self.views,
            "frames": self.frames,
            "bytes": list(self.num_bytes),
            "short": self.short,
        }


def survey(sources: dict[str, Source], fps: float, views: int, embed_dim: int, short: ShortVideos) -> Survey:
    """Count what each kind of annotation requests, and what all of them request together.

    sources: by kind of annotation. views: stored per frame besides view 0. short: as found by short_videos.
    """
    everything = union(sources)
    kinds = {kind: _survey_kind(source, fps) for kind, source in sources.items()}
    frames = _count_frames(everything, fps)[0] if len(kinds) > 1 else next(iter(kinds.values())).frames
    row_bytes = (1 + views) * EMBEDDING_BYTES * embed_dim
    num_bytes = (frames * (MIN_JPEG_BYTES + row_bytes), frames * (MAX_JPEG_BYTES + row_bytes))
    missing = len({uid for source in sources.values() for uid in source.missing})
    return Survey(kinds, _count_videos(everything.videos, missing), fps, views, frames, num_bytes, short)


def short_videos(source: Source, workers: int) -> ShortVideos:
    """The videos that end earlier, according to their header, than the data set lists."""
    listed = {video.uid: video.listed_sec[1] for video in source.videos if video.listed_sec}
    tasks = [LengthTask(video.uid, video.path) for video in source.videos if video.uid in listed]
    engine = make_engine(DEFAULT_ENGINE, read_length, EngineOptions(workers, HEADER_TIMEOUT_SEC))
    short = {}
    for event in engine.run(tasks):
        if isinstance(event, TaskResult) and event.value is not None:
            uid = event.task.uid
            if ends_early(event.value, listed[uid]):
                short[uid] = (event.value, listed[uid])
    return dict(sorted(short.items()))


def _count_videos(videos: tuple[Video, ...], missing: int) -> VideoCounts:
    return VideoCounts(
        on_disk=len({recording_of(video.uid) for video in videos}),
        missing=missing,
        stereo=len({recording_of(video.uid) for video in videos if video.left_eye}),
        redacted=len({recording_of(video.uid) for video in videos if video.redacted}),
        redacted_minutes=sum(end - start for v in videos for start, end in v.redacted) / 60,
        hours=sum(v.listed_sec[1] - v.listed_sec[0] for v in videos if v.listed_sec) / 3600,
    )


def _survey_kind(source: Source, fps: float) -> KindSurvey:
    by_split = Counter(clip.split for clip in source.clips)
    by_class = Counter((label, clip.split) for clip in source.clips for label in clip.all_labels)
    frames, shared_frames = _count_frames(source, fps)
    extents = {video.uid: video.listed_sec or (0.0, 0.0) for video in source.videos}
    brief = tuple(
        clip for clip in source.clips if clip.end_sec - clip.start_sec < 1 / fps
    )  # longer ones contain a time
    windows = windows_by_video(replace(source, clips=brief))
    return KindSurvey(
        videos=len({recording_of(video.uid) for video in source.videos}),
        missing=len(source.missing),
        clips={split: by_split[split] for split in SPLITS},
        unlabeled=sum(not clip.all_labels for clip in source.clips),
        classes={name: [by_class[label, split] for split in SPLITS] for label, name in enumerate(source.classes)},
        without_frame=sum(count_empty(Grid(fps, spans), *extents[uid]) for uid, spans in windows.items()),
        frames=frames,
        shared_frames=shared_frames,
        splits={uid: SplitRule(split, rule) for uid, split, rule in source.split_rules},
    )


def _count_frames(source: Source, fps: float) -> tuple[int, int]:
    """(requested frames, those of them that lie in several windows)."""
    windows = windows_by_video(source)
    counts = [
        count_requested(Grid(fps, windows.get(video.uid, ()), video.redacted), *video.listed_sec)
        for video in source.videos
        if video.listed_sec
    ]
    return sum(frames for frames, _ in counts), sum(shared for _, shared in counts)
