"""What a cache lacks: videos in quarantine and why, withdrawn videos, requested times without frames. Markup."""

from collections.abc import Mapping

from embedonce.cache.quarantine import DecodeAttempts, QuarantinedVideo
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import Status
from embedonce.pipeline.reporting.contact_sheet.films import REASONS
from embedonce.pipeline.reporting.contact_sheet.texts import counted, text
from embedonce.pipeline.reporting.html.markup import table

SHOWN = 200  # rows of a table
REASON = 300  # characters


def problems(reader: CacheReader) -> str:
    """The section's content; says so if there is nothing to report."""
    parts = [
        _quarantine(reader.quarantined()),
        _attempts(reader.catalog.attempts()),
        _gaps(reader.count_statuses()),
        _withdrawn(len(reader.withdrawn().names)),
    ]
    return "".join(parts) or "<p>Every listed video is in the cache, and every requested time has its frame.</p>"


def _quarantine(videos: Mapping[str, QuarantinedVideo]) -> str:
    if not videos:
        return ""
    listed = sorted(videos.values(), key=lambda video: video.source)
    rows = [(text(video.source), text(video.reason, REASON), advice(video)) for video in listed[:SHOWN]]
    caption = f"{counted(len(videos), 'video')} in quarantine"
    return table(("video", "why", "what to do"), rows, caption, "prose") + _more(len(listed))


def advice(video: QuarantinedVideo) -> str:
    """What to do about a video, as a sentence."""
    if not video.num_bytes and not video.modified_ns:
        return "run extract-teacher again: it is tried again in the next run"
    return "replace or repair the file, then run extract-teacher again: it is tried again once the file has changed"


def _attempts(videos: Mapping[str, DecodeAttempts]) -> str:
    if not videos:
        return ""
    rows = [(text(uid), entry.attempts, text(entry.reason, REASON)) for uid, entry in sorted(videos.items())]
    head = ("video", "attempts", "how the last one ended")
    return table(head, rows[:SHOWN], "Videos whose decoding crashed or hung a process", "prose") + _more(len(rows))


def _gaps(counts: Mapping[str, int]) -> str:
    """Requested times without a frame, by reason."""
    found = [(status, counts[status.name.lower()]) for status in Status if status != Status.OK]
    rows = [(status.name.lower(), f"{count:,}", REASONS[status]) for status, count in found if count]
    if not rows:
        return ""
    return table(("status", "times", "why"), rows, "Requested times without a frame", "prose")


def _withdrawn(count: int) -> str:
    if not count:
        return ""
    return f"<p>{counted(count, 'video')} withdrawn: removed for good, and left out of every extraction.</p>"


def _more(count: int) -> str:
    return (
        f'<p class="faint">{count - SHOWN:,} more are not listed here; inspect-cache prints all.</p>'
        if count > SHOWN
        else ""
    )
