"""Where videos and labeled clips come from, as plain data, and the folder source.

Knows paths and names; opens no video. The Ego4D and synthetic sources live beside it, the door to all in opening.py.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming import uids
from embedonce.pipeline.naming.annotation_kinds import MAX_NARRATION_WINDOW
from embedonce.pipeline.sources.folder.class_files import read_class_map, read_classes
from embedonce.pipeline.sources.folder.layout_inference import structure_of
from embedonce.pipeline.sources.folder.layouts import Structure, some
from embedonce.pipeline.sources.folder.listing import Found, find_videos
from embedonce.pipeline.splits.assignment import split_by_hash

UNLABELED = -1


@dataclass(frozen=True)
class Video:
    """One video file. source is its path relative to the data folder, with forward slashes.

    redacted: [start_sec, end_sec) parts, on the container's timeline, that must not be looked at. left_eye: frames hold
    two eyes side by side, of which the left one is used.
    listed_sec: [start, end) by what describes the data set, where something does. fingerprint: of the file's content,
    once it was taken; replaces: uid of the planned video that this one stands in the place of, with other content.
    """

    uid: str
    path: Path
    source: str
    redacted: tuple[tuple[float, float], ...] = ()
    left_eye: bool = False
    listed_sec: tuple[float, float] | None = None
    fingerprint: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Clip:
    """A labeled window [start_sec, end_sec) of one video, in seconds on the container's timeline.

    end_sec may be inf: to the end of the video. label indexes Source.classes, or is UNLABELED.
    """

    clip_id: str
    video_uid: str
    start_sec: float
    end_sec: float
    label: int
    split: str  # "train", "val" or "test"


@dataclass(frozen=True)
class Source:
    """Everything a data folder offers: videos, clips over them, class names, and what was left out and why.

    rejected: (name, reason) of files that are listed, counted and never decoded. missing: uids of annotated videos
    that are not on disk. files: every file of the folder, counted in one line. named_by: what the class names come
    from, "folders", "annotations", "file" or "map". splits_by_hash: the data names no splits, so that they follow from
    the uids. split_rules: (uid of a recording, its split, the rule that gave it), where there are such rules.
    """

    root: Path
    kind: str  # "folder" or "ego4d"
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


@dataclass(frozen=True)
class SourceOptions:
    """How a folder is read. annotations: kinds of an Ego4D download; () for the usual one.

    skip_invalid: accepted and without effect: single odd entries are left out anyway. strict: they are errors.
    fho_window: what an action of FHO is, of pipeline.ego4d.names. max_narration_window: seconds. clip_splits: keep
    splits that share videos. known: uids of a cache's videos, which are labeled whether or not their files are there
    still. layout: of a plain folder, one of pipeline.layouts.LAYOUTS or None. class_names: file of readable names for
    the classes that the data has.
    """

    annotations: tuple[str, ...] = ()
    classes_file: Path | None = None
    skip_invalid: bool = False
    clip_splits: bool = False
    known: tuple[str, ...] = ()
    layout: str | None = None
    class_names: Path | None = None
    strict: bool = False
    fho_window: str = "action"
    max_narration_window: float = MAX_NARRATION_WINDOW


def union(sources: dict[str, Source]) -> Source:
    """All videos and all windows of several sources over one folder; its classes mean nothing where there are several.

    The videos of the result are asked for whatever any of the sources asks for.
    """
    first, *others = sources.values()
    if not others:
        return first
    videos = {video.uid: video for source in sources.values() for video in source.videos}
    clips = tuple(clip for source in sources.values() for clip in source.clips)
    notes = tuple(dict.fromkeys(note for source in sources.values() for note in source.notes))
    return replace(first, videos=tuple(videos[uid] for uid in sorted(videos)), clips=clips, classes=(), notes=notes)


def windows_by_video(source: Source) -> dict[str, tuple[tuple[float, float], ...]]:
    """The union of what the clips of each video ask for, as [start_sec, end_sec) pairs."""
    windows = defaultdict(list)
    for clip in source.clips:
        windows[clip.video_uid].append((clip.start_sec, clip.end_sec))
    return {uid: tuple(spans) for uid, spans in windows.items()}


def folder_source(root: Path, classes_file: Path | None, layout: str | None = None) -> Source:
    """Every video file under root, with one clip over the whole of it; uid, class and split come from its path.

    classes_file: names for zero-shot logits alone; the clips are then unlabeled whatever the folders say. layout: one
    of pipeline.layouts.LAYOUTS, or None: as the folders show. A file that cannot be opened is in `rejected`.
    InputError where no video is left, the folders can be read in more than one way, or a file of names is unusable.
    """
    names = None if classes_file is None else read_classes(classes_file)
    found = find_videos(root)
    videos = _videos(root, found)
    if not videos:
        name, reason = found.unusable[0]
        number = len(found.unusable)
        raise InputError(f"none of {number} video files in {root} can be used; the first, {name}: {reason}")
    structure = _structure(root, videos, layout, names is None)
    _check_aliases(root, found, videos, structure)
    clips = tuple(
        Clip(v.uid, v.uid, -math.inf, math.inf, UNLABELED if label is None else label, split or split_by_hash(v.uid))
        for v, label, split in zip(videos, structure.labels, structure.splits, strict=True)
    )
    notes = found.notes + (structure.notes if names is None else ())
    source = Source(
        root=root,
        kind="folder",
        videos=videos,
        clips=clips,
        classes=structure.classes,
        rejected=found.unusable,
        notes=notes,
        files=f"{found.account}; layout: {structure.layout}",
        named_by="folders",
        splits_by_hash=not any(structure.splits),
    )
    return source if names is None else with_class_names(source, names)


def _videos(root: Path, found: Found) -> tuple[Video, ...]:
    """InputError where two paths have one uid, which takes a collision of their hashes."""
    videos = tuple(Video(uids.path_uid(relative), root / relative, relative) for relative in found.usable)
    first = {}
    for video in videos:
        other = first.setdefault(video.uid, video)
        if other is not video:
            raise InputError(
                f"{other.source} and {video.source} in {root} have one uid, {video.uid}; rename one of them"
            )
    return videos


def _structure(root: Path, videos: tuple[Video, ...], layout: str | None, labels_wanted: bool) -> Structure:
    try:
        return structure_of(tuple(video.source for video in videos), layout, labels_wanted)
    except InputError as error:
        raise InputError(f"{root}: {error}") from error


def _check_aliases(root: Path, found: Found, videos: tuple[Video, ...], structure: Structure) -> None:
    """InputError where a link puts a video into a second class or split. Its own place would win in silence."""
    if not found.aliases or (not structure.classes and not any(structure.splits)):
        return
    paths = tuple(video.source for video in videos) + tuple(alias for alias, _ in found.aliases)
    together = structure_of(paths, structure.layout)
    places = dict(zip(paths, zip(together.labels, together.splits, strict=True), strict=True))
    torn = [f"{alias} is {source}" for alias, source in found.aliases if places[alias] != places[source]]
    if torn:
        raise InputError(
            f"{root}: {len(torn)} links put a video into a second class or split ({some(torn)}); remove one of the "
            "names, or pass --layout flat for videos without labels"
        )


def keep_frequent_classes(source: Source, num_actions: int) -> Source:
    """Keep the num_actions classes with most training clips; clips of the others become UNLABELED.

    Ties go by name, and the kept classes stay in their order. InputError where there are fewer classes than that.
    """
    if not 1 <= num_actions <= len(source.classes):
        raise InputError(
            f"--num-actions {num_actions} does not fit data of {len(source.classes)} classes: "
            "give a number from 1 to that, or leave the option out to use them all"
        )
    if num_actions == len(source.classes):
        return source
    counts = Counter(clip.label for clip in source.clips if clip.split == "train")
    by_frequency = sorted(range(len(source.classes)), key=lambda label: (-counts[label], source.classes[label]))
    kept = sorted(by_frequency[:num_actions])
    new_label = {old: new for new, old in enumerate(kept)}
    clips = tuple(replace(clip, label=new_label.get(clip.label, UNLABELED)) for clip in source.clips)
    labeled = [sum(clip.label != UNLABELED for clip in some) for some in (source.clips, clips)]
    note = (
        f"kept the {num_actions} most frequent classes: {len(source.classes) - num_actions} classes were dropped, "
        f"and their {labeled[0] - labeled[1]} clips are unlabeled now"
    )
    classes = tuple(source.classes[label] for label in kept)
    return replace(source, clips=clips, classes=classes, notes=(*source.notes, note))


def keep_frequent(sources: dict[str, Source], num_actions: int | None) -> dict[str, Source]:
    """keep_frequent_classes of each source, by kind of annotation; all classes where num_actions is None."""
    if num_actions is None:
        return sources
    kept = {}
    for kind, source in sources.items():
        try:
            kept[kind] = keep_frequent_classes(source, num_actions)
        except InputError as error:
            raise InputError(f"{kind}: {error}" if kind else str(error)) from error
    return kept


def with_class_names(source: Source, names: tuple[str, ...]) -> Source:
    """The same clips without labels, and these names for zero-shot logits alone."""
    clips = tuple(replace(clip, label=UNLABELED) for clip in source.clips)
    first = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
    note = f"{len(names)} class names come from a file ({first}): the clips are unlabeled"
    return replace(source, clips=clips, classes=names, notes=(*source.notes, note), named_by="file")


def renamed(source: Source, class_names: Path | None) -> Source:
    """The same clips and labels, with the names that a file gives the classes. InputError as read_class_map says."""
    if class_names is None:
        return source
    names, notes = read_class_map(class_names, source.classes)
    return replace(source, classes=names, notes=(*source.notes, *notes), named_by="map")
