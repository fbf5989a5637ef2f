"""Leaves the videos that were removed from a cache for good out of the sources, by name and by content."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from embedonce.cache.errors import some
from embedonce.cache.withdrawn import WithdrawnVideos
from embedonce.pipeline.sources.known_files import KnownFiles
from embedonce.pipeline.sources.source import Source, Video


def with_fingerprints(videos: tuple[Video, ...], files: KnownFiles) -> list[Video]:
    """The videos, with the fingerprints of their files. files: what is known of them, and learned."""
    missing = [video for video in videos if not video.fingerprint]
    computed = dict(zip((v.uid for v in missing), files.fingerprints(v.path for v in missing), strict=True))
    return [replace(video, fingerprint=computed.get(video.uid, video.fingerprint)) for video in videos]


def without_withdrawn(
    sources: Mapping[str, Source], withdrawn: WithdrawnVideos, planned: Collection[str], files: KnownFiles
) -> Mapping[str, Source]:
    """The sources without withdrawn videos, their clips and their rejected files; a note names them.

    planned: fingerprints of planned videos: a file with such content is that video, whatever its name. files: as in
    with_fingerprints().
    """
    if not withdrawn.names:
        return sources
    return {kind: _without(source, withdrawn, planned, files) for kind, source in sources.items()}


def _without(source: Source, withdrawn: WithdrawnVideos, planned: Collection[str], files: KnownFiles) -> Source:
    videos = with_fingerprints(source.videos, files)
    kept = [video for video in videos if not _is_withdrawn(video, withdrawn, planned)]
    kept_uids = {video.uid for video in kept}
    names = [video.source for video in videos if video.uid not in kept_uids]
    names += [name for name, _ in source.rejected if withdrawn.has_name(name)]
    gone = {video.uid for video in videos} - kept_uids
    gone |= {uid for uid in {clip.video_uid for clip in source.clips} - kept_uids if withdrawn.has_name(uid)}
    note = f"files of videos that were removed from this cache, which are left out: {len(names)} ({some(names)})"
    return replace(
        source,
        videos=tuple(kept),
        clips=tuple(clip for clip in source.clips if clip.video_uid not in gone),
        rejected=tuple(pair for pair in source.rejected if not withdrawn.has_name(pair[0])),
        notes=source.notes + ((note,) if names else ()),
        withdrawn=source.withdrawn + tuple(names),
    )


def _is_withdrawn(video: Video, withdrawn: WithdrawnVideos, planned: Collection[str]) -> bool:
    is_planned = video.fingerprint != "" and video.fingerprint in planned
    return withdrawn.has_content(video.fingerprint) or (withdrawn.has_name(video.uid) and not is_planned)
