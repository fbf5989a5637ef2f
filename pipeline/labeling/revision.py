"""Compares the stored clips of a label set with those of the data now: allowed changes are described, others refused.

Pure functions: nothing is read or written.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from embedonce.cache.errors import LabelSetError, some
from embedonce.cache.labels import FITTED, ClipLabel, LabelSet
from embedonce.cache.plan import PlannedVideo
from embedonce.pipeline.sources.source import Source

ClipParts = dict[int, list[ClipLabel]]  # by number of the plan part
Videos = Mapping[str, PlannedVideo]  # by uid


@dataclass(frozen=True)
class Revision:
    """The clips that a label set should have, and a description of the changes; no lines if no stored clip changes."""

    parts: ClipParts
    lines: tuple[str, ...]


def revise(
    stored: Mapping[int, tuple[ClipLabel, ...]], current: ClipParts, labels: LabelSet, source: Source, videos: Videos
) -> Revision:
    """Compare the stored clips of a label set with those of the data now.

    Raises LabelSetError for changes that need a new label set: of the clips of annotations, and of training labels that
    a head was fitted to.
    """
    parts = {part: _with_unreadable(clips, stored.get(part, ()), source, videos) for part, clips in current.items()}
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
            f"the clips of {some(_names(changed, videos))} in label set {labels.name!r} differ from those of the data "
            "now; write the new ones to another label set with --label-set"
        )
    refitted = [uid for uid in changed if uid in old and _training(old[uid]) != _training(new[uid])]
    if labels.kind == FITTED and refitted:
        changes = some([f"{_name(uid, videos)}: {changed[uid]}" for uid in refitted])
        raise LabelSetError(
            f"the head of label set {labels.name!r} was fitted to training labels that have changed ({changes}); write "
            "the new ones to another label set with --label-set"
        )
    lines = [*_change_lines(labels.name, gone, changed, videos)]
    if moved:
        lines.append(f"label set {labels.name}: the clips of {len(moved)} videos move to a later plan part with them")
    return Revision(parts, tuple(lines))


def _part_of(parts) -> dict[str, int]:
    """uid -> number of the plan part with the clips of the video."""
    return {clip.video_uid: part for part, clips in parts.items() for clip in clips}


def _change_lines(name: str, gone: list[str], changed: dict[str, str], videos: Videos):
    if gone:
        yield (
            f"label set {name}: videos whose clips are removed, because their files are gone or have changed, or the "
            f"data name them no more: {len(gone)} ({some(_names(gone, videos))}); their frames stay in the cache"
        )
    if changed:
        changes = some([f"{_name(uid, videos)}: {difference}" for uid, difference in changed.items()])
        yield f"label set {name}: videos whose clips changed: {len(changed)} ({changes})"


def _difference(old: set[ClipLabel], new: set[ClipLabel], classes: tuple[str, ...]) -> str:
    """How the clips of one video differ, as text."""
    pairs = [
        (sorted({_class(clip, classes) for clip in clips}), sorted({clip.split for clip in clips}))
        for clips in (old, new)
    ]
    for before, after in zip(*pairs, strict=True):
        if before != after:
            return f"{'/'.join(before) or 'nothing'} -> {'/'.join(after)}"
    return "other times"


def _class(clip: ClipLabel, classes: tuple[str, ...]) -> str:
    return " and ".join(classes[label] for label in clip.all_labels) or "unlabeled"


def _with_unreadable(
    current: list[ClipLabel], stored: Iterable[ClipLabel], source: Source, videos: Videos
) -> list[ClipLabel]:
    """The current clips, and the stored ones of files and folders that cannot be read now and may be unchanged."""
    unreadable = {PurePosixPath(name) for name, _ in source.rejected}
    if not unreadable:
        return current
    readable = {clip.video_uid for clip in current}
    kept = [clip for clip in stored if clip.video_uid not in readable and _is_in(clip, unreadable, videos)]
    return [*current, *kept]


def _is_in(clip: ClipLabel, places: set[PurePosixPath], videos: Videos) -> bool:
    path = PurePosixPath(_name(clip.video_uid, videos))
    return not places.isdisjoint((path, *path.parents))


def _by_video(clips: Iterable[ClipLabel]) -> dict[str, set[ClipLabel]]:
    by_video: dict[str, set[ClipLabel]] = defaultdict(set)
    for clip in clips:
        by_video[clip.video_uid].add(clip)
    return dict(by_video)


def _training(clips: set[ClipLabel]) -> set:
    labeled = (clip for clip in clips if clip.split == "train" and clip.all_labels)
    return {(clip.start_sec, clip.end_sec, clip.all_labels) for clip in labeled}


def _name(uid: str, videos: Videos) -> str:
    return videos[uid].source if uid in videos else uid


def _names(uids: Iterable[str], videos: Videos) -> list[str]:
    return [_name(uid, videos) for uid in uids]
