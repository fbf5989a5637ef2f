"""Quarantine: which videos cannot be used, why, and the state of their files at that time."""

from dataclasses import asdict, dataclass

from embedonce.cache.reader import CacheReader
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.sources.matching import NO_FILE
from embedonce.pipeline.sources.source import Video

ABSENT = "its file was missing when the other videos of its shard were finished"


@dataclass(frozen=True)
class QuarantinedVideo:
    """Why a video cannot be used. source: its path in the data folder.

    num_bytes, modified_ns: size and modification time of its file, by which a changed file is recognized; NO_FILE if
    the next run should try the video again in any case.
    """

    source: str
    reason: str
    num_bytes: int
    modified_ns: int


def quarantined_videos(cache: CacheReader | CacheWriter) -> dict[str, QuarantinedVideo]:
    """uid -> why, of every quarantined video of a cache."""
    return {uid: QuarantinedVideo(**document) for uid, document in cache.quarantined().items()}


def quarantine(writer: CacheWriter, video: Video, reason: str, is_temporary: bool = False) -> None:
    """Quarantine a video. is_temporary: the next run tries it again, even if its file has not changed."""
    state = NO_FILE if is_temporary else file_state(video)
    _write(writer, video.uid, QuarantinedVideo(video.source, reason, *state))


def quarantine_absent(writer: CacheWriter, uid: str, reason: str = ABSENT) -> None:
    """Quarantine a planned video whose file is missing, so that shards it shares with others can be finished.

    If its file reappears, it is planned as a new video.
    """
    _write(writer, uid, QuarantinedVideo(writer.planned_videos[uid].source, reason, *NO_FILE))


def quarantine_rejected(writer: CacheWriter, name: str, reason: str) -> None:
    """Quarantine a file that the source rejected before it was scanned."""
    _write(writer, name, QuarantinedVideo(name, reason, *NO_FILE))


def file_state(video: Video) -> tuple[int, int]:
    """(size in bytes, modification time in ns) of a video's file; zeros if it is missing."""
    try:
        stat = video.path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _write(writer: CacheWriter, name: str, record: QuarantinedVideo) -> None:
    writer.quarantine(name, asdict(record))
