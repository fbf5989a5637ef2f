"""Finds video files with equal content in one source: copies that count once, and copies with conflicting labels."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from embedonce.cache.errors import some
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.content_identity import are_equal, whole_fingerprint
from embedonce.pipeline.sources.source import Source, Video

Place = frozenset[tuple[float, float, tuple[int, ...], str | None]]  # start_sec, end_sec, labels, split of clips


@dataclass(frozen=True)
class Duplicate:
    """A video file with the same content, labels and split as another one."""

    video: Video
    original: Video


def without_duplicates(
    videos: list[Video], source: Source, planned: Collection[str]
) -> tuple[list[Video], dict[str, Duplicate]]:
    """(the videos without duplicates, uid -> duplicate that is left out)."""
    place_of = _places(source)
    duplicates: dict[str, Duplicate] = {}
    whole_hashes: dict[str, str] = {}
    for same in _groups(videos):
        if same[0].path.stat().st_size == 0:
            continue  # empty files are no videos
        equal = [video for video in same if video is same[0] or are_equal(same[0].path, video.path)]
        if len(equal) < len(same):  # only their sampled bytes are equal
            whole_hashes |= {video.uid: whole_fingerprint(video.path) for video in same}
        originals: dict[Place | None, Video] = {}
        for video in sorted(equal, key=lambda v: v.uid not in planned):
            original = originals.setdefault(place_of.get(video.uid), video)
            if original is not video:
                duplicates[video.uid] = Duplicate(video, original)
    hashed = [replace(v, fingerprint=whole_hashes.get(v.uid, v.fingerprint)) for v in videos]
    return [video for video in hashed if video.uid not in duplicates], duplicates


def refuse_conflicts(source: Source, usable: Iterable[str]) -> None:
    """InputError if one of these videos and its copy are in two classes or two splits. usable: uids."""
    usable = set(usable)
    place_of = _places(source)
    for first, other in _conflicts(source, place_of):
        if {first.uid, other.uid} <= usable:
            raise InputError(_conflict(source, place_of, first, other))


def conflicting_uids(source: Source) -> frozenset[str]:
    """The videos that refuse_conflicts() refuses if they can be used."""
    return frozenset(video.uid for pair in _conflicts(source, _places(source)) for video in pair)


def duplicate_notes(duplicates: Collection[Duplicate]) -> list[str]:
    if not duplicates:
        return []
    pairs = [f"{duplicate.video.source} = {duplicate.original.source}" for duplicate in duplicates]
    return [f"identical copies of other files, which count once: {len(duplicates)} ({some(pairs)})"]


def _conflicts(source: Source, place_of: Mapping[str, Place]) -> Iterator[tuple[Video, Video]]:
    """Pairs of copies in two classes or two splits."""
    for same in _groups(source.videos) if source.uids_from_paths else ():
        for i, first in enumerate(same):
            yield from ((first, other) for other in same[i + 1 :] if place_of.get(first.uid) != place_of.get(other.uid))


def _conflict(source: Source, place_of: dict[str, Place], first: Video, other: Video) -> str:
    same = f"{first.source} and {other.source} are the same video, byte for byte, but"
    if _labels(place_of, first) != _labels(place_of, other):
        names = f"{_class_names(source, first)} and {_class_names(source, other)}"
        return f"{same} are in two classes ({names}): remove one of them"
    splits = _split_names(source, first), _split_names(source, other)
    if splits[0] != splits[1]:
        return f"{same} are in two splits ({' and '.join(splits)}): remove one of them"
    return f"{same} have different clips: name one of them only, in all rows"


def _groups(videos: Iterable[Video]) -> list[list[Video]]:
    """Videos with the same fingerprint, sorted by path; only groups of two or more."""
    groups: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        if video.fingerprint:
            groups[video.fingerprint].append(video)
    return [sorted(same, key=lambda v: v.source) for same in groups.values() if len(same) > 1]


def _places(source: Source) -> dict[str, Place]:
    """uid -> windows, labels and splits of its clips; without splits if those only follow from the uid."""
    places = defaultdict(set)
    for clip in source.clips:
        split = None if source.splits_by_hash else clip.split
        places[clip.video_uid].add((clip.start_sec, clip.end_sec, clip.all_labels, split))
    return {uid: frozenset(clips) for uid, clips in places.items()}


def _labels(place_of: dict[str, Place], video: Video) -> set[tuple[int, ...]]:
    return {label for _, _, label, _ in place_of.get(video.uid, ())}


def _split_names(source: Source, video: Video) -> str:
    return "/".join(sorted({clip.split for clip in source.clips if clip.video_uid == video.uid})) or "none"


def _class_names(source: Source, video: Video) -> str:
    labels = {label for clip in source.clips if clip.video_uid == video.uid for label in clip.all_labels}
    known = range(len(source.classes))
    return "/".join(sorted(source.classes[label] if label in known else f"class {label}" for label in labels)) or "none"
