"""Matches the videos of a source with those of a cache by content, so that files may be moved, copied or replaced.

Reads files, writes nothing.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from embedonce.cache.errors import some
from embedonce.cache.plan import PlannedVideo, PlanPart, newest_uids
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.schema import MAX_UID_LENGTH
from embedonce.cache.store import has_cache, open_reader
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.content_identity import are_equal, fingerprints, whole_fingerprint
from embedonce.pipeline.sources.source import Source, Video, union
from embedonce.pipeline.splits.assignment import split_by_hash

FINGERPRINT_MARK = "__"  # in uids, before the first digits of a fingerprint, which tell videos of the same path apart
NO_FILE = (0, 0)  # (bytes, modification time) of a quarantined video whose file was missing

Place = frozenset[tuple[float, float, int, str | None]]  # (start_sec, end_sec, label, split) of a video's clips


@dataclass(frozen=True)
class CachedVideos:
    """The videos that a cache has planned, and those it has quarantined: name -> its record."""

    plan: list[PlanPart] = field(default_factory=list)
    quarantined: dict[str, QuarantinedVideo] = field(default_factory=dict)

    @classmethod
    def of_writer(cls, writer: CacheWriter) -> "CachedVideos":
        """Those of a cache that is being written."""
        return cls(writer.plan, writer.quarantined())

    @classmethod
    def of_folder(cls, cache_dir: Path) -> "CachedVideos":
        """Those of the cache in a folder; none if there is no cache."""
        if not has_cache(cache_dir):
            return cls()
        reader = open_reader(cache_dir)
        return cls(reader.plan(), reader.quarantined())

    @property
    def planned(self) -> dict[str, PlannedVideo]:
        """By uid."""
        return {video.uid: video for part in self.plan for video in part.videos}

    def can_continue(self, uid: str) -> bool:
        """Whether a planned video can be completed: False if frames were left out because its file was missing."""
        record = self.quarantined.get(uid)
        return record is None or (record.num_bytes, record.modified_ns) != NO_FILE


@dataclass(frozen=True)
class Duplicate:
    """A video file with the same content, labels and split as another one."""

    video: Video
    original: Video


def match_sources(sources: Mapping[str, Source], cached: CachedVideos) -> dict[str, Source]:
    """The sources of one folder, in which videos that the cache has already keep their uids.

    A file with the content of a planned video is that video, wherever it is now. A file whose content differs from the
    planned video of its uid is a new video with a new uid. Copies with the same labels and split count as one video;
    a note lists them. Idempotent.
    """
    together = union(sources)
    videos = _with_fingerprints(together.videos)
    duplicates: dict[str, Duplicate] = {}
    if together.uids_from_paths:
        videos, duplicates = _without_duplicates(videos, together, cached.planned)
    matched = _match(videos, cached, together.uids_from_paths)
    newest = {} if together.uids_from_paths else newest_uids(cached.plan)
    notes = (*_duplicate_notes(duplicates.values()), *_change_notes(matched.values(), cached))
    return {kind: _apply(source, matched, duplicates, newest, notes) for kind, source in sources.items()}


def match_source(source: Source, cached: CachedVideos) -> Source:
    """match_sources() of a single source."""
    return match_sources({"": source}, cached)[""]


def refuse_conflicts(source: Source, usable: Iterable[str]) -> None:
    """InputError if one of these videos and its copy are in two classes or two splits. usable: uids."""
    if not source.uids_from_paths:
        return
    usable = set(usable)
    place_of = _places(source)
    for same in _groups(video for video in source.videos if video.uid in usable):
        first = same[0]
        for other in same[1:]:
            if place_of.get(first.uid) != place_of.get(other.uid):
                raise InputError(_conflict(source, first, other, _labels(place_of, first) != _labels(place_of, other)))


def _conflict(source: Source, first: Video, other: Video, in_two_classes: bool) -> str:
    describe = _class_names if in_two_classes else _split_names
    return (
        f"{first.source} and {other.source} are the same video, byte for byte, but are in two "
        f"{'classes' if in_two_classes else 'splits'} ({describe(source, first)} and {describe(source, other)}): "
        "remove one of them"
    )


def _with_fingerprints(videos: tuple[Video, ...]) -> list[Video]:
    missing = [video for video in videos if not video.fingerprint]
    computed = dict(zip((v.uid for v in missing), fingerprints(v.path for v in missing), strict=True))
    return [replace(video, fingerprint=computed.get(video.uid, video.fingerprint)) for video in videos]


def _groups(videos: Iterable[Video]) -> list[list[Video]]:
    """Videos with the same fingerprint, sorted by path; only groups of two or more."""
    groups: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        if video.fingerprint:
            groups[video.fingerprint].append(video)
    return [sorted(same, key=lambda v: v.source) for same in groups.values() if len(same) > 1]


def _without_duplicates(
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


def _places(source: Source) -> dict[str, Place]:
    """uid -> windows, labels and splits of its clips; without splits if those only follow from the uid."""
    places = defaultdict(set)
    for clip in source.clips:
        split = None if source.splits_by_hash else clip.split
        places[clip.video_uid].add((clip.start_sec, clip.end_sec, clip.label, split))
    return {uid: frozenset(clips) for uid, clips in places.items()}


def _labels(place_of: dict[str, Place], video: Video) -> set[int]:
    return {label for _, _, label, _ in place_of.get(video.uid, ())}


def _split_names(source: Source, video: Video) -> str:
    return "/".join(sorted({clip.split for clip in source.clips if clip.video_uid == video.uid})) or "none"


def _class_names(source: Source, video: Video) -> str:
    labels = {clip.label for clip in source.clips if clip.video_uid == video.uid and clip.label >= 0}
    known = range(len(source.classes))
    return "/".join(sorted(source.classes[label] if label in known else f"class {label}" for label in labels)) or "none"


def _match(videos: list[Video], cached: CachedVideos, by_content: bool) -> dict[str, Video]:
    """Old uid -> the video with the uid that it has in the cache, or will have.

    by_content: a file may be any planned video with its content; else only one of its own uid.
    """
    planned, newest = cached.planned, newest_uids(cached.plan)
    with_content = defaultdict(list)
    for planned_video in planned.values():
        if planned_video.fingerprint and cached.can_continue(planned_video.uid):
            with_content[planned_video.fingerprint].append(planned_video)
    matched: dict[str, Video] = {}
    taken: set[str] = set()
    unchanged = [v for v in videos if v.uid in planned and planned[v.uid].fingerprint == v.fingerprint]
    for video in [*unchanged, *videos]:  # a file that stayed where it was comes before its copies
        if video.uid in matched:
            continue
        same = [p for p in with_content[video.fingerprint] if p.uid not in taken] if video.fingerprint else []
        if not by_content:
            same = [p for p in same if p.uid == video.uid or newest.get(video.uid) == newest.get(p.uid, p.uid)]
        same.sort(key=lambda p: (p.uid != video.uid, p.source != video.source))
        matched[video.uid] = _with_cached_uid(video, same[0].uid if same else None, planned, newest, taken)
        taken.add(matched[video.uid].uid)
    return matched


def _with_cached_uid(
    video: Video, same: str | None, planned: dict[str, PlannedVideo], newest: dict[str, str], taken: set[str]
) -> Video:
    """The video with the uid of the planned one with the same content, or with a new uid if its own is in use."""
    if same is not None:
        return replace(video, uid=same, replaces=planned[same].replaces)
    if not video.fingerprint or (video.uid not in planned and video.uid not in taken):
        return video
    stem = f"{video.uid[: MAX_UID_LENGTH - 16]}{FINGERPRINT_MARK}{video.fingerprint[:8]}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in range(2, 10**5)))
    uid = next(name for name in names if name not in planned and name not in taken)
    return replace(video, uid=uid, replaces=newest.get(video.uid, video.uid))


def _apply(
    source: Source,
    matched: dict[str, Video],
    duplicates: Collection[str],
    newest: dict[str, str],
    notes: tuple[str, ...],
) -> Source:
    """The source with the matched uids. newest: uid -> newest uid, for videos that only the cache has."""
    videos = {video.uid: matched[video.uid] for video in source.videos if video.uid in matched}
    clips = []
    for clip in source.clips:
        if clip.video_uid in duplicates:
            continue
        old = clip.video_uid
        uid = videos[old].uid if old in videos else newest.get(old, old)
        name = uid + clip.clip_id.removeprefix(old) if clip.clip_id.startswith(old) else clip.clip_id
        split = split_by_hash(uid) if source.splits_by_hash else clip.split
        clips.append(replace(clip, clip_id=name, video_uid=uid, split=split))
    all_notes = source.notes + tuple(note for note in notes if note not in source.notes)
    return replace(source, videos=tuple(videos.values()), clips=tuple(clips), notes=all_notes)


def _duplicate_notes(duplicates: Collection[Duplicate]) -> list[str]:
    if not duplicates:
        return []
    pairs = [f"{duplicate.video.source} = {duplicate.original.source}" for duplicate in duplicates]
    return [f"identical copies of other files, which count once: {len(duplicates)} ({some(pairs)})"]


def _change_notes(matched: Collection[Video], cached: CachedVideos) -> list[str]:
    """Which files were moved or replaced since they were planned."""
    planned = cached.planned
    moved = [v for v in matched if v.uid in planned and planned[v.uid].source != v.source]
    replaced = [v for v in matched if v.uid not in planned and v.replaces]
    notes = []
    if moved:
        pairs = [f"{planned[v.uid].source} -> {v.source}" for v in moved]
        notes.append(
            f"files that were moved since they were planned and keep their frames: {len(moved)} ({some(pairs)})"
        )
    if replaced:
        notes.append(
            "files whose content changed since they were planned: they are extracted as new videos, and the frames of "
            f"the old ones stay without labels: {len(replaced)} ({some([v.source for v in replaced])})"
        )
    return notes
