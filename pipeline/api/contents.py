"""What a cache contains, as plain values: its videos, and the clips of a label set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embedonce.cache.errors import VideoError, some
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import PlannedVideo
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import Status, seconds
from embedonce.pipeline.naming.near_misses import near_miss


@dataclass(frozen=True)
class Video:
    """A video with frames in the cache.

    uid: its name in the cache. source: its path in the data folder. start_sec, end_sec: its first and last moment, on
    its own timeline; source and both times are None if the cache has no plan of it. num_frames: times with a frame.
    """

    uid: str
    source: str | None
    start_sec: float | None
    end_sec: float | None
    num_frames: int

    @property
    def duration_sec(self) -> float | None:
        """Its length in seconds; None if that is not known."""
        return None if self.start_sec is None or self.end_sec is None else self.end_sec - self.start_sec


@dataclass(frozen=True)
class Clip:
    """A window [start_sec, end_sec) of a video, by its uid.

    label: the name of its class; None if it has none, or may have several. labels: the names of all its classes.
    """

    clip_id: str
    video: str
    start_sec: float
    end_sec: float
    label: str | None
    labels: tuple[str, ...]
    split: str


def list_videos(reader: CacheReader) -> Iterator[Video]:
    """The videos with frames in a cache, in its order."""
    planned = {video.uid: video for part in reader.plan() for video in part.videos}
    return (_video(reader, uid, planned.get(uid)) for uid in reader.video_uids)


def _video(reader: CacheReader, uid: str, planned: PlannedVideo | None) -> Video:
    count = sum(int((segment.request_status == Status.OK).sum()) for _, _, segment in reader.segments_of(uid))
    if planned is None:
        return Video(uid, None, None, None, count)
    return Video(uid, planned.source, float(seconds(planned.first_pts, planned.time_base)), planned.end_sec, count)


def uid_in(reader: CacheReader, video: Video | str) -> str:
    """The uid of a video of this cache. VideoError if it has none of that uid."""
    uid = video.uid if isinstance(video, Video) else video
    try:
        reader.segments_of(uid)
    except (KeyError, TypeError):
        raise VideoError(f"{reader.cache_dir} has no video {uid!r}{_hint(reader, uid)}") from None
    return uid


def _hint(reader: CacheReader, uid: object) -> str:
    """What was probably meant, for a message."""
    if not isinstance(uid, str):
        return ": give its uid, as text, or a Video of this cache"
    if quarantined := reader.quarantined().get(uid):
        return f": it is quarantined ({quarantined.reason})"
    by_source = [video.uid for video in list_videos(reader) if video.source == uid]
    if by_source:
        return f": that is the source of {' and of '.join(map(repr, by_source))}"
    near = near_miss(uid, reader.video_uids)
    return f": did you mean {near!r}?" if near is not None else f" (it has: {some(reader.video_uids) or 'none'})"


def clips_of(labels: LabelSet, split: str | None) -> list[ClipLabel]:
    """The clips of a label set in a split, or all. ValueError if there are none in this split."""
    chosen = [clip for clip in labels.clips if split is None or clip.split == split]
    if split is not None and not chosen:
        counts = ", ".join(f"{name} {count}" for name, count in count_splits(labels.clips).items())
        raise ValueError(f"label set {labels.name!r} has no clips of split {split!r} (clips: {counts or 'none'})")
    return chosen


def count_splits(clips: Sequence[ClipLabel]) -> dict[str, int]:
    """split -> how many of these clips are in it."""
    splits = [clip.split for clip in clips]
    return {name: splits.count(name) for name in dict.fromkeys(splits)}


def named_clip(clip: ClipLabel, classes: Sequence[str]) -> Clip:
    """A clip with the names of its classes."""
    label = classes[clip.label] if clip.label >= 0 else None
    names = tuple(classes[number] for number in clip.all_labels)
    return Clip(clip.clip_id, clip.video_uid, clip.start_sec, clip.end_sec, label, names, clip.split)
