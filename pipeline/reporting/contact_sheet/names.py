"""What videos are called on a contact sheet: by their files, as the user knows them, in natural order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from embedonce.cache.plan import PlannedVideo
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.reporting.contact_sheet.films import Video
from embedonce.pipeline.reporting.contact_sheet.selection import Strip
from embedonce.pipeline.reporting.contact_sheet.texts import seconds


@dataclass(frozen=True)
class Names:
    """title: of the page. sources: uid -> file. uids: of videos with shards, in natural order of their files."""

    title: str
    sources: dict[str, str]
    uids: tuple[str, ...]
    planned: dict[str, PlannedVideo]

    @classmethod
    def of(cls, reader: CacheReader) -> "Names":
        planned = {video.uid: video for part in reader.plan() for video in part.videos}
        sources = {uid: planned[uid].source if uid in planned else uid for uid in reader.video_uids}
        uids = sorted(sources, key=lambda uid: (natural(sources[uid]), uid))
        return cls(title_of(reader), sources, tuple(uids), planned)

    def video(self, uid: str, strips: Sequence[Strip]) -> Video:
        return Video(uid, self.sources[uid], self._about(uid), tuple(strips))

    def _about(self, uid: str) -> tuple[str, ...]:
        """The length of a video, and what was noted when it was planned."""
        video = self.planned.get(uid)
        return () if video is None else (seconds(video.end_sec), *video.notes)


def title_of(reader: CacheReader) -> str:
    """The last part of the cache's path or URL."""
    return str(reader.cache_dir).rstrip("/").rpartition("/")[2] or str(reader.cache_dir)


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key to sort by: numbers in a name count as such, so that clip2 is before clip10."""
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((int(part) if i % 2 else -1, part) for i, part in enumerate(parts))
