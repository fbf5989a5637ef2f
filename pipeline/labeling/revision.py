"""What becomes of the clips of a label set when the data say something else now: revised and told, or refused.

Pure: compares clips; reads and writes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from embedonce.cache.errors import LabelSetError, some
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import PlannedVideo
from embedonce.pipeline.sources.source import Source

Parts = dict[int, list[ClipLabel]]


@dataclass(frozen=True)
class Revision:
    """The clips that a label set is to have, by plan part, and what to tell; no lines where nothing stored changes."""

    parts: Parts
    lines: tuple[str, ...]


def revise(
    stored: dict[int, tuple[ClipLabel, ...]], asked: Parts, labels: LabelSet, source: Source, videos
) -> Revision:
    """Compare the clips that are there with those that the data give now.

    videos: uid -> PlannedVideo. LabelSetError where the new clips may not take the place of the old ones: those of
    annotations, whose label set is a fixed reading of them, and training labels that a head was fitted to.
    """
    parts = {part: _with_unreadable(clips, stored.get(part, ()), source, videos) for part, clips in asked.items()}
    old = _by_video(clip for clips in stored.values() for clip in clips)
    new = _by_video(clip for part, clips in parts.items() for clip in clips if part in stored or clip.video_uid in old)
    part_of = _part_of(parts)
    moved = [uid for uid, part in _part_of(stored).items() if part_of.get(uid, part) != part]
    gone = [uid for uid in old if uid not in new]
    changed = {
        uid: _difference(old.get(uid, set()), clips, labels.classes)
        for uid, clips in new.items()
        if old.get(uid) != clips
    }
    if source.has_fixed_clips and changed:
        raise LabelSetError(
            f"label set {labels.name!r} has other clips of {some(_names(changed, videos))} than the data gives now; "
            "give the new ones a name with --label-set"
        )
    refitted = [uid for uid in changed if uid in old and _training(old[uid]) != _training(new[uid])]
    if labels.kind == "fitted" and refitted:
        told = some([f"{_name(uid, videos)}: {changed[uid]}" for uid in refitted])
        raise LabelSetError(
            f"the head of label set {labels.name!r} was fitted to training labels that are others now ({told}); give "
            "the new ones a name with --label-set"
        )
    lines = [*_in_words(labels.name, gone, changed, videos)]
    if moved:
        lines.append(f"label set {labels.name}: the clips of {len(moved)} videos move with them to a later plan part")
    return Revision(parts, tuple(lines))


def _part_of(parts) -> dict[str, int]:
    """uid -> the part of the plan whose clips lie over the video."""
    return {clip.video_uid: part for part, clips in parts.items() for clip in clips}


def _in_words(name: str, gone: list[str], changed: dict[str, str], videos: dict[str, PlannedVideo]):
    if gone:
        yield (
            f"label set {name}: videos whose clips leave it, because their files are gone or their contents changed: "
            f"{len(gone)} ({some(_names(gone, videos))}); their frames stay in the cache"
        )
    if changed:
        told = some([f"{_name(uid, videos)}: {difference}" for uid, difference in changed.items()])
        yield f"label set {name}: videos whose clips changed: {len(changed)} ({told})"


def _difference(old: set[ClipLabel], new: set[ClipLabel], classes: tuple[str, ...]) -> str:
    """What is different about the clips of one video."""
    pairs = [
        (sorted({_class(clip, classes) for clip in clips}), sorted({clip.split for clip in clips}))
        for clips in (old, new)
    ]
    for ours, theirs in zip(*pairs, strict=True):
        if ours != theirs:
            return f"{'/'.join(ours) or 'nothing'} -> {'/'.join(theirs)}"
    return "other times"


def _class(clip: ClipLabel, classes: tuple[str, ...]) -> str:
    return classes[clip.label] if clip.label >= 0 else "unlabeled"


def _with_unreadable(asked: list[ClipLabel], stored, source: Source, videos) -> list[ClipLabel]:
    """The clips, and those stored of files in folders that cannot be read now: nobody knows what became of them."""
    unreadable = {PurePosixPath(name) for name, _ in source.rejected}
    if not unreadable:
        return asked
    there = {clip.video_uid for clip in asked}
    kept = [clip for clip in stored if clip.video_uid not in there and _lies_in(clip, unreadable, videos)]
    return [*asked, *kept]


def _lies_in(clip: ClipLabel, places: set[PurePosixPath], videos: dict[str, PlannedVideo]) -> bool:
    path = PurePosixPath(_name(clip.video_uid, videos))
    return not places.isdisjoint((path, *path.parents))


def _by_video(clips: Iterable[ClipLabel]) -> dict[str, set[ClipLabel]]:
    found = defaultdict(set)
    for clip in clips:
        found[clip.video_uid].add(clip)
    return dict(found)


def _training(clips: set[ClipLabel]) -> set:
    return {(clip.start_sec, clip.end_sec, clip.label) for clip in clips if clip.split == "train" and clip.label >= 0}


def _name(uid: str, videos: dict[str, PlannedVideo]) -> str:
    return videos[uid].source if uid in videos else uid


def _names(uids: Iterable[str], videos: dict[str, PlannedVideo]) -> list[str]:
    return [_name(uid, videos) for uid in uids]
