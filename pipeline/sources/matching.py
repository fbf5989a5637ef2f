"""Which videos of a source are which of a cache: by content, so that files may move, be copied and be replaced.

Knows sources, plans and fingerprints; reads files, writes nothing.
"""

import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
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

log = logging.getLogger(__name__)

TAIL = "__"  # before the digits of a fingerprint that tell the videos of one place apart
NO_FILE = (0, 0)  # in place of a file's bytes and time, in the quarantine of one that is not there


@dataclass(frozen=True)
class Known:
    """What a cache knows of videos. quarantined: name -> quarantined video."""

    plan: list[PlanPart]
    quarantined: dict[str, QuarantinedVideo]

    @property
    def videos(self) -> dict[str, PlannedVideo]:
        return {video.uid: video for part in self.plan for video in part.videos}

    def can_go_on(self, uid: str) -> bool:
        """Whether work on a planned video can go on: not where rows were left out because its file was not there."""
        video = self.quarantined.get(uid)
        return video is None or (video.num_bytes, video.modified_ns) != NO_FILE


NOTHING = Known([], {})


def known_to(writer: CacheWriter) -> Known:
    """What a cache knows while it is being written."""
    return Known(writer.plan, writer.quarantined())


def known_in(cache_dir: Path) -> Known:
    """What the cache in a folder knows; nothing where there is none."""
    if not has_cache(cache_dir):
        return NOTHING
    reader = open_reader(cache_dir)
    return Known(reader.plan(), reader.quarantined())


def match_sources(sources: dict[str, Source], known: Known) -> dict[str, Source]:
    """The sources, over one folder, with the uids that their videos have in a cache.

    A file with the bytes of a planned video is that video, wherever it lies now. One with other bytes than the video
    of its uid is a new video, with a uid of its own. Copies with one label and one split are one video, and a note says
    so. May be applied again to its own result.
    """
    everything = union(sources)
    videos = _with_fingerprints(everything.videos)
    kept, copies = (videos, {}) if everything.kind != "folder" else _without_copies(videos, everything, known.videos)
    resolved = _resolved(kept, known, by_content=everything.kind == "folder")
    newest = newest_uids(known.plan) if everything.kind != "folder" else {}
    notes = tuple(_copies_in_words(copies)) + tuple(_moves_in_words(resolved, known))
    return {kind: _applied(source, resolved, set(copies), newest, notes) for kind, source in sources.items()}


def match_source(source: Source, known: Known) -> Source:
    """match_sources of one."""
    return match_sources({"": source}, known)[""]


def refuse_conflicts(source: Source, usable: Iterable[str]) -> None:
    """InputError where one of the usable videos stands in two classes or two splits, as a file and its copy."""
    usable = set(usable)
    place_of = _places(source)
    for same in _groups(video for video in source.videos if video.uid in usable and source.kind == "folder"):
        first = same[0]
        for other in same[1:]:
            what = "class" if _labels(place_of, first) != _labels(place_of, other) else "split"
            if place_of.get(first.uid) != place_of.get(other.uid):
                raise InputError(
                    f"{first.source} and {other.source} are the same video, byte for byte, and stand for two "
                    f"{'classes' if what == 'class' else 'splits'} ({_told(source, first, what)} and "
                    f"{_told(source, other, what)}): remove one of them"
                )


def _with_fingerprints(videos: tuple[Video, ...]) -> list[Video]:
    lacking = [video for video in videos if not video.fingerprint]
    found = dict(zip((v.uid for v in lacking), fingerprints(v.path for v in lacking), strict=True))
    return [replace(video, fingerprint=found.get(video.uid, video.fingerprint)) for video in videos]


def _groups(videos: Iterable[Video]) -> list[list[Video]]:
    """Videos of one fingerprint, in order of their places, where there are several."""
    groups: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        if video.fingerprint:
            groups[video.fingerprint].append(video)
    return [sorted(same, key=lambda v: v.source) for same in groups.values() if len(same) > 1]


def _without_copies(
    videos: list[Video], source: Source, planned: dict
) -> tuple[list[Video], dict[str, tuple[Video, Video]]]:
    """(the videos without copies of one place's meaning, uid -> (copy, original) of those left out)."""
    place_of, copies, other_prints = _places(source), {}, {}
    for same in _groups(videos):
        if same[0].path.stat().st_size == 0:
            continue  # nothing is like nothing: these are no videos
        equal = [video for video in same if _is_equal(same[0], video)]
        if len(equal) < len(same):  # alike by their samples alone
            other_prints |= {video.uid: whole_fingerprint(video.path) for video in same}
        originals: dict[object, Video] = {}
        for video in sorted(equal, key=lambda v: v.uid not in planned):
            original = originals.setdefault(place_of.get(video.uid), video)
            if original is not video:
                copies[video.uid] = (video, original)
    told = [replace(v, fingerprint=other_prints.get(v.uid, v.fingerprint)) for v in videos]
    return [video for video in told if video.uid not in copies], copies


def _is_equal(a: Video, b: Video) -> bool:
    return a is b or are_equal(a.path, b.path)


def _places(source: Source) -> dict[str, frozenset]:
    """uid -> what its clips say, without their names; without their splits where those only come from the uid."""
    places = defaultdict(set)
    for clip in source.clips:
        split = None if source.splits_by_hash else clip.split
        places[clip.video_uid].add((clip.start_sec, clip.end_sec, clip.label, split))
    return {uid: frozenset(said) for uid, said in places.items()}


def _labels(place_of: dict[str, frozenset], video: Video) -> set:
    return {label for _, _, label, _ in place_of.get(video.uid, ())}


def _told(source: Source, video: Video, what: str) -> str:
    """The classes or splits of a video's clips, in words."""
    clips = [clip for clip in source.clips if clip.video_uid == video.uid]
    if what == "split":
        return "/".join(sorted({clip.split for clip in clips})) or "none"
    known = range(len(source.classes))
    names = {source.classes[c.label] if c.label in known else f"class {c.label}" for c in clips if c.label >= 0}
    return "/".join(sorted(names)) or "none"


def _resolved(videos: list[Video], known: Known, by_content: bool) -> dict[str, Video]:
    """Old uid -> the video as the cache knows it, or as it will be planned."""
    planned, newest = known.videos, newest_uids(known.plan)
    with_content = defaultdict(list)
    for video in planned.values():
        if video.fingerprint and known.can_go_on(video.uid):
            with_content[video.fingerprint].append(video)
    found: dict[str, Video] = {}
    taken: set[str] = set()
    exactly_there = [v for v in videos if v.uid in planned and planned[v.uid].fingerprint == v.fingerprint]
    for video in [*exactly_there, *videos]:  # a file that stayed where it was comes before its copies
        if video.uid in found:
            continue
        same = [p for p in with_content[video.fingerprint] if p.uid not in taken] if video.fingerprint else []
        if not by_content:
            same = [p for p in same if p.uid == video.uid or newest.get(video.uid) == newest.get(p.uid, p.uid)]
        same.sort(key=lambda p: (p.uid != video.uid, p.source != video.source))
        found[video.uid] = _as_known(video, same[0].uid if same else None, planned, newest, taken)
        taken.add(found[video.uid].uid)
    return found


def _as_known(video: Video, same: str | None, planned: dict, newest: dict, taken: set[str]) -> Video:
    if same is not None:
        return replace(video, uid=same, replaces=planned[same].replaces)
    if not video.fingerprint or (video.uid not in planned and video.uid not in taken):
        return video
    stem = f"{video.uid[: MAX_UID_LENGTH - 16]}{TAIL}{video.fingerprint[:8]}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in range(2, 10**5)))
    uid = next(name for name in names if name not in planned and name not in taken)
    return replace(video, uid=uid, replaces=newest.get(video.uid, video.uid))


def _applied(source: Source, resolved: dict[str, Video], copies: set[str], newest: dict, notes) -> Source:
    """The source with other uids, for videos on disk and for those that only a cache has."""
    videos = {video.uid: resolved[video.uid] for video in source.videos if video.uid in resolved}
    clips = []
    for clip in source.clips:
        if clip.video_uid in copies:
            continue
        old = clip.video_uid
        uid = videos[old].uid if old in videos else newest.get(old, old)
        name = uid + clip.clip_id.removeprefix(old) if clip.clip_id.startswith(old) else clip.clip_id
        split = split_by_hash(uid) if source.splits_by_hash else clip.split
        clips.append(replace(clip, clip_id=name, video_uid=uid, split=split))
    told = source.notes + tuple(note for note in notes if note not in source.notes)
    return replace(source, videos=tuple(videos.values()), clips=tuple(clips), notes=told)


def _copies_in_words(copies: dict[str, tuple[Video, Video]]) -> list[str]:
    if not copies:
        return []
    pairs = [f"{copy.source} = {original.source}" for copy, original in copies.values()]
    return [f"copies of other files, byte for byte, which count once: {len(copies)} ({some(pairs)})"]


def _moves_in_words(resolved: dict[str, Video], known: Known) -> list[str]:
    planned = known.videos
    moved = [v for v in resolved.values() if v.uid in planned and planned[v.uid].source != v.source]
    replaced = [v for v in resolved.values() if v.uid not in planned and v.replaces]
    notes = []
    if moved:
        pairs = [f"{planned[v.uid].source} -> {v.source}" for v in moved]
        notes.append(f"files moved since they were planned, which keep their frames: {len(moved)} ({some(pairs)})")
    if replaced:
        notes.append(
            "files whose contents changed since they were planned, which are extracted as new videos while the frames "
            f"of the old ones stay without labels: {len(replaced)} ({some([v.source for v in replaced])})"
        )
    return notes
