"""Matches the videos of a source with those of a cache by content, so that files may be moved, copied or replaced.

Reads files, writes nothing.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlannedVideo, PlanPart, newest_uids
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.schema import MAX_UID_LENGTH
from embedonce.cache.state import CacheState
from embedonce.cache.store import has_cache, open_reader
from embedonce.cache.withdrawn import WithdrawnVideos
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.sources.duplicates import Duplicate, duplicate_notes, without_duplicates
from embedonce.pipeline.sources.known_files import KnownFiles
from embedonce.pipeline.sources.match_notes import change_notes, missing_notes
from embedonce.pipeline.sources.source import Clip, Source, Video, union
from embedonce.pipeline.sources.withdrawn import with_fingerprints, without_withdrawn
from embedonce.pipeline.splits.assignment import split_by_hash

FINGERPRINT_MARK = "__"  # in uids, before the first digits of a fingerprint, which tell videos of the same path apart
NO_FILE = (0, 0)  # (bytes, modification time) of a quarantined video whose file was missing


@dataclass(frozen=True)
class CachedVideos:
    """The videos that a cache has planned, those it has quarantined (name -> record), and those removed for good.

    files: the files that it knows the fingerprints of.
    """

    plan: list[PlanPart] = field(default_factory=list)
    quarantined: dict[str, QuarantinedVideo] = field(default_factory=dict)
    withdrawn: WithdrawnVideos = field(default_factory=WithdrawnVideos)
    files: KnownFiles = field(default_factory=KnownFiles)

    @classmethod
    def of_writer(cls, writer: CacheWriter) -> "CachedVideos":
        """Those of a cache that is being written."""
        return cls(writer.plan, writer.quarantined(), writer.withdrawn())

    @classmethod
    def of_state(cls, state: CacheState) -> "CachedVideos":
        """Those of a cache that others may be writing."""
        files = KnownFiles(Layout(state.reader.store).file_fingerprints)
        return cls(state.plan, state.quarantined, state.reader.withdrawn(), files)

    @classmethod
    def of_folder(cls, cache_dir: Path | str) -> "CachedVideos":
        """Those of the cache in a folder; none if there is no cache."""
        if not has_cache(cache_dir):
            return cls()
        reader = open_reader(cache_dir)
        files = KnownFiles(Layout(reader.store).file_fingerprints)
        return cls(reader.plan(), reader.quarantined(), reader.withdrawn(), files)

    @property
    def planned(self) -> dict[str, PlannedVideo]:
        """By uid."""
        return {video.uid: video for part in self.plan for video in part.videos}

    def can_continue(self, uid: str) -> bool:
        """Whether a planned video can be completed: False if frames were left out because its file was missing."""
        record = self.quarantined.get(uid)
        return record is None or (record.num_bytes, record.modified_ns) != NO_FILE


def match_sources(sources: Mapping[str, Source], cached: CachedVideos) -> dict[str, Source]:
    """The sources of one folder, in which videos that the cache has already keep their uids.

    A file with the content of a planned video is that video, wherever it is now. A file whose content differs from the
    planned video of its uid is a new video with a new uid. Copies with the same labels and split count as one video;
    a note lists them. A missing file keeps its clips if the cache has its frames and no other file has that content.
    Videos that were removed from the cache for good are left out, with their clips. Idempotent.
    """
    planned = cached.planned
    known_content = {video.fingerprint for video in planned.values()}
    sources = without_withdrawn(sources, cached.withdrawn, known_content, cached.files)
    together = union(sources)
    videos = with_fingerprints(together.videos, cached.files)
    duplicates: dict[str, Duplicate] = {}
    if together.uids_from_paths:
        videos, duplicates = without_duplicates(videos, together, planned)
    matched = _match(videos, cached, together.uids_from_paths)
    newest = newest_uids(cached.plan)
    notes = (*duplicate_notes(duplicates.values()), *change_notes(matched.values(), planned))
    return {kind: _apply(source, matched, duplicates, newest, planned, notes) for kind, source in sources.items()}


def match_source(source: Source, cached: CachedVideos) -> Source:
    """match_sources() of a single source."""
    return match_sources({"": source}, cached)[""]


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
    planned: Mapping[str, PlannedVideo],
    notes: tuple[str, ...],
) -> Source:
    """The source with the matched uids. newest: uid -> newest uid, for videos of the data that only the cache has."""
    videos = {video.uid: matched[video.uid] for video in source.videos if video.uid in matched}
    missing = {uid: newest.get(uid, uid) for uid in source.missing}
    now_elsewhere = _now_elsewhere(missing, matched.values())
    clips = []
    for clip in source.clips:
        old = uid = clip.video_uid
        if old in videos:
            uid = videos[old].uid
        elif old in duplicates or old in now_elsewhere:
            continue
        elif old in missing or not source.uids_from_paths:
            uid = newest.get(old, old)
        clips.append(clip if uid == old else _of_video(clip, uid, source.splits_by_hash))
    about_missing = missing_notes(missing, now_elsewhere, planned)
    all_notes = tuple(dict.fromkeys((*source.notes, *notes, *about_missing)))
    return replace(source, videos=tuple(videos.values()), clips=tuple(clips), notes=all_notes)


def _now_elsewhere(missing: Mapping[str, str], matched: Collection[Video]) -> dict[str, Video]:
    """Uid of a missing file -> the file that has its content now. missing: uid -> uid in the cache."""
    file_of = {video.uid: video for video in matched}
    return {uid: file_of[cached_uid] for uid, cached_uid in missing.items() if cached_uid in file_of}


def _of_video(clip: Clip, uid: str, splits_by_hash: bool) -> Clip:
    """The clip, of the same video under another uid."""
    old = clip.video_uid
    name = uid + clip.clip_id.removeprefix(old) if clip.clip_id.startswith(old) else clip.clip_id
    return replace(clip, clip_id=name, video_uid=uid, split=split_by_hash(uid) if splits_by_hash else clip.split)
