"""Finds the videos of EGTEA Gaze+: the cut clips, or else those of whole sessions. Opens no file."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from embedonce.pipeline.sources.egtea.lists import ListedClip
from embedonce.pipeline.sources.manifest.video_folders import VideoFolders

_CLIP_PLACES = (
    *("cropped_clips/{session}", "video_clips/cropped_clips/{session}", "video_clips/{session}", "clips/{session}"),
    *("{session}", "cropped_clips", "video_clips/cropped_clips", "video_clips", "clips", "."),
)  # relative to the data folder; the first one is preferred
_SESSION_PLACES = (".", "videos", "raw_videos", "session_videos", "{session}", "videos/{session}")


class EgteaVideos:
    """The video files of listed clips below a data folder.

    in_sessions: whether clips are parts of the videos of sessions: as in the cache, or else only if no clip has a video
    of its own. has_unused_sessions: whether there are such videos although clips have their own.
    """

    def __init__(self, root: Path, clips: Sequence[ListedClip], cached_uids: Collection[str]):
        self._folders = VideoFolders(root)
        self._session_files = {session: self._find(session, session, _SESSION_PLACES) for session in _sessions(clips)}
        has_sessions = any(self._session_files.values())
        cached = frozenset(cached_uids)
        if any(clip.name in cached for clip in clips):
            self.in_sessions = False
        elif any(clip.session in cached for clip in clips):
            self.in_sessions = True
        else:
            self.in_sessions = has_sessions and not any(self._clip_file(clip) for clip in clips)
        self.has_unused_sessions = has_sessions and not self.in_sessions

    def name_of(self, clip: ListedClip) -> str:
        """The path, from the data folder, of the file that shows a clip; where it is expected if it does not exist."""
        if self.in_sessions:
            return self._session_files[clip.session] or f"{clip.session}.mp4"
        return self._clip_file(clip) or f"cropped_clips/{clip.session}/{clip.name}.mp4"

    @property
    def notes(self) -> Iterator[str]:
        yield from self._folders.notes()
        if self.has_unused_sessions:
            yield "videos of sessions are not used, because there are clips with videos of their own"

    def _clip_file(self, clip: ListedClip) -> str | None:
        return self._find(clip.name, clip.session, _CLIP_PLACES)

    def _find(self, video: str, session: str, places: Sequence[str]) -> str | None:
        return self._folders.find(video, (place.format(session=session) for place in places))


def _sessions(clips: Sequence[ListedClip]) -> list[str]:
    return sorted({clip.session for clip in clips})
