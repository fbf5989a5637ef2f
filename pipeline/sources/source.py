"""The interface of a video source, and the data it returns: videos, labeled clips and class names.

A source is a plug-in: one class that implements `VideoSource`, and one line in pipeline/sources/registry.py. Nothing
here opens a video.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.remote_files.remote_file import RemoteFile
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder

UNLABELED = -1
VideoPath = Path | RemoteFile | ImageSequence
DataFolder = Path | RemoteFolder


@dataclass(frozen=True)
class Video:
    """One video file, on this machine or behind a URL, or a video whose frames are images in a folder.

    source: path relative to the data folder, with forward slashes. redacted: [start_sec, end_sec) intervals, in
    seconds on the container's timeline, that must never be decoded. left_eye: frames hold two views side by side, of
    which the left one is used. listed_sec: [start_sec, end_sec) according to the data set's metadata, if it has any.
    fingerprint: hash of the file's content, or "" if it was not computed yet. replaces: uid of the planned video whose
    file this one overwrote with other content, or "".
    """

    uid: str
    path: VideoPath
    source: str
    redacted: tuple[tuple[float, float], ...] = ()
    left_eye: bool = False
    listed_sec: tuple[float, float] | None = None
    fingerprint: str = ""
    replaces: str = ""

    @property
    def copied_share(self) -> float:
        """The part of the space for temporary copies of remote files that this video takes; 0 if it is local."""
        return self.path.share_of_spool if isinstance(self.path, RemoteFile) else 0.0


@dataclass(frozen=True, slots=True)
class Clip:
    """A labeled time window [start_sec, end_sec) of one video, in seconds on the container's timeline.

    start_sec may be -inf and end_sec inf: from the beginning, to the end of the video. label: index into
    Source.classes, or UNLABELED. text: a narration of what happens, or "". labels: in a source with several labels per
    clip, all of them, in ascending order, and label is UNLABELED; else None.
    """

    clip_id: str
    video_uid: str
    start_sec: float
    end_sec: float
    label: int
    split: str  # "train", "val" or "test"
    text: str = ""
    labels: tuple[int, ...] | None = None

    @property
    def all_labels(self) -> tuple[int, ...]:
        """Its label, or its labels; none if it is unlabeled."""
        if self.labels is not None:
            return self.labels
        return () if self.label == UNLABELED else (self.label,)


def with_several_labels(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """The clips in the form of a source with several labels per clip, which is that of all clips or of none."""
    return tuple(replace(clip, label=UNLABELED, labels=tuple(sorted(set(clip.all_labels)))) for clip in clips)


@dataclass(frozen=True)
class Source:
    """What a data folder contains: videos, labeled clips of them, class names, and which files were left out.

    rejected: (name, reason) of files that are counted but never decoded. notes: remarks for the user. missing: uids of
    annotated videos that are not on disk. files: one line that counts all files of the folder. named_by: origin of the
    class names: "folders", "table", "annotations", "file" (--classes) or "map" (--class-names). splits_by_hash: the
    data define no splits, so that the split of a video follows from its uid. split_rules: (uid of a recording, its
    split, the rule that assigned it). uids_from_paths: uids are made from file paths, so that a moved file is
    recognized by its content. has_fixed_clips: the clips of a video do not change once they are in a label set.
    one_clip_per_video: a clip without an end lasts to the end of its video, as data sets of short videos are evaluated;
    otherwise it is cut into windows. no_classes_reason: why no classes were found, or "". withdrawn: paths of files
    that are left out because their videos were removed from the cache for good.
    """

    root: DataFolder
    kind: str  # name of the VideoSource
    videos: tuple[Video, ...]
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    files: str = ""
    named_by: str = "annotations"
    splits_by_hash: bool = False
    split_rules: tuple[tuple[str, str, str], ...] = ()
    uids_from_paths: bool = True
    has_fixed_clips: bool = False
    one_clip_per_video: bool = False
    no_classes_reason: str = ""
    withdrawn: tuple[str, ...] = ()

    @property
    def is_multi_label(self) -> bool:
        """Whether clips have any number of labels. ValueError if only some of them do; see with_several_labels()."""
        several = [clip.labels is not None for clip in self.clips]
        if any(several) and not all(several):
            raise ValueError(f"of {len(several)} clips, {sum(several)} have a list of labels, and the others one label")
        return any(several)

    @property
    def has_whole_videos(self) -> bool:
        """Whether every clip covers the whole of its video."""
        return all(clip.start_sec == -math.inf and clip.end_sec == math.inf for clip in self.clips)


@dataclass(frozen=True)
class OpenRequest:
    """What a source is asked to read.

    root: the data folder, a RemoteFolder only for sources that read URLs; None only for those that create their data.
    options: an instance of the source's `options_type`. cached_uids: uids of the videos in the cache; a source lists
    their clips even if their files are gone. needs_labels: False if class names are given with --classes, so that
    labels are dropped. needs_files: False if only the annotations of cached videos are needed (relabel). cache_dir:
    folder of the cache, next to which a source may create data.
    """

    root: DataFolder | None
    options: Any
    cached_uids: Collection[str] = ()
    needs_labels: bool = True
    needs_files: bool = True
    cache_dir: Path | str | None = None

    @property
    def folder(self) -> Path:
        """The data folder, of sources that always have one, on this machine."""
        assert isinstance(self.root, Path)
        return self.root


class VideoSource(Protocol):
    """A kind of data folder: which videos it has, which labeled clips, and options of its own.

    name: short and unique, such as "ego4d". description: for messages, such as "an Ego4D download". options_type: a
    frozen dataclass whose fields are declared with `pipeline.settings.options.setting`; each field becomes an option of
    the command line. own_options: names of those options that make no sense for other sources: they are refused if
    the data folder is opened by another source, and relabel reads a source's annotations only if one of them is given.
    selects_classes: True if the source itself limits the classes to --num-classes. A source that also reads URLs has a
    further attribute, `reads_urls = True`; the others are never asked about one.
    """

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def options_type(self) -> type: ...

    @property
    def own_options(self) -> tuple[str, ...]: ...

    @property
    def selects_classes(self) -> bool: ...

    def recognizes(self, root: Any, options: Any) -> bool:
        """Whether this source reads the folder. Called for one source after another; the first match opens it."""
        ...

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        """The sources in the folder, one for each label set, by the name of the annotations ("" for the only one).

        InputError if the data are missing or malformed, with the remedy.
        """
        ...


def union(sources: Mapping[str, Source]) -> Source:
    """All videos and clips of several sources over one folder. The result has no classes if there are several."""
    first, *others = sources.values()
    if not others:
        return first
    videos = {video.uid: video for source in sources.values() for video in source.videos}
    clips = tuple(clip for source in sources.values() for clip in source.clips)
    notes = tuple(dict.fromkeys(note for source in sources.values() for note in source.notes))
    together = tuple(videos[uid] for uid in sorted(videos))
    withdrawn = tuple(dict.fromkeys(path for source in sources.values() for path in source.withdrawn))
    return replace(first, videos=together, clips=clips, classes=(), notes=notes, withdrawn=withdrawn)


def with_names(source: Source, names: Collection[str]) -> Source:
    """The source with only the videos of these uids, and only the rejected and withdrawn files of these names."""
    return replace(
        source,
        videos=tuple(video for video in source.videos if video.uid in names),
        rejected=tuple((name, reason) for name, reason in source.rejected if name in names),
        withdrawn=tuple(name for name in source.withdrawn if name in names),
    )


def windows_by_video(source: Source) -> dict[str, tuple[tuple[float, float], ...]]:
    """Video uid -> the [start_sec, end_sec) windows of its clips."""
    windows = defaultdict(list)
    for clip in source.clips:
        windows[clip.video_uid].append((clip.start_sec, clip.end_sec))
    return {uid: tuple(spans) for uid, spans in windows.items()}
