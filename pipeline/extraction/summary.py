"""The account of an extraction: what became of every listed video and every requested time.

Reads what is on disk; changes nothing.
"""

from dataclasses import dataclass

from embedonce.cache.schema import Status
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.sources.source import Source

PARTIAL = "partial: it ends"  # how a note of a video that ends before its header says begins


@dataclass(frozen=True)
class ExtractResult:
    """What became of every listed video: listed = committed + quarantined + pending. Counts of videos and rows."""

    listed: int
    committed: int
    pending: int
    quarantined: dict[str, str]  # source path -> reason
    unasked: int  # among the committed: no clip asks for any of it
    partial: int  # among the planned: it ends before its header says
    rows: int
    statuses: dict[str, int]  # requested times by what became of them
    reshaped: int = 0  # among the committed: the picture changes its shape, and times were refused for it

    @property
    def line(self) -> str:
        """The equation that holds at every end."""
        return (
            f"listed {self.listed} videos = {self.committed} committed + {len(self.quarantined)} quarantined "
            f"+ {self.pending} pending"
        )

    @property
    def exit_code(self) -> int:
        return 3 if self.quarantined else 0


def account(writer: CacheWriter, source: Source) -> ExtractResult:
    """Count every listed video once, from what is on disk. PipelineError where the counts do not add up."""
    quarantined, planned, done = writer.quarantined(), writer.planned_videos, writer.committed_units()
    pending_videos = {s.video_uid for unit in writer.units if unit.name not in done for s in unit.segments}
    pending_videos |= writer.incomplete_uids()
    names = [video.uid for video in source.videos] + [name for name, _ in source.rejected]
    usable = [name for name in names if name not in quarantined]
    unasked = sum(name not in planned for name in usable)
    pending = sum(name in pending_videos for name in usable)
    reader = writer.reader()
    segments = [segment for record in reader.records.values() for segment in record.segments]
    reshaped = {s.video_uid for s in segments if (s.request_status == Status.RESHAPED).any()}
    there = set(reader.video_uids)
    committed = unasked + sum(name in planned and name in there for name in usable if name not in pending_videos)
    out = [quarantined[name] for name in names if name in quarantined]
    if len(names) != committed + len(out) + pending:
        raise PipelineError(
            f"{len(names)} videos were listed, but {committed} are committed, {len(out)} quarantined and {pending} "
            f"pending: {writer.directory} has lost records; keep it aside and extract into another --cache-dir"
        )
    return ExtractResult(
        listed=len(names),
        committed=committed,
        pending=pending,
        quarantined={video.source: video.reason for video in out},
        unasked=unasked,
        partial=sum(name in planned and PARTIAL in " ".join(planned[name].notes) for name in usable),
        rows=reader.num_rows,
        statuses=reader.count_statuses(),
        reshaped=sum(name in reshaped for name in usable),
    )
