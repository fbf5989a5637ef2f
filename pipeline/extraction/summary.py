"""The summary of an extraction: the outcome of every listed video and every requested time, counted from the cache."""

from collections.abc import Collection
from dataclasses import dataclass, field

from embedonce.cache.schema import Status
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import EXIT_QUARANTINED, PipelineError
from embedonce.pipeline.extraction.stage_times import StageTimes
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.video.timeline import is_partial_note


@dataclass(frozen=True)
class ExtractionSummary:
    """Counts of videos, rows and requested times. listed = committed + quarantined + pending + withdrawn.

    quarantined: path in the data folder -> reason. Among the committed videos: without_requests, in which no clip lies;
    reshaped, of which some times were skipped because the shape of the frames changes. Among the planned videos:
    partial, which end before their header says. statuses: requested times by status name. withdrawn: files of
    videos that were removed from the cache for good, which are left out. times: how busy the stages of this run were;
    None if it extracted nothing.
    """

    listed: int
    committed: int
    pending: int
    quarantined: dict[str, str]
    without_requests: int
    partial: int
    rows: int
    statuses: dict[str, int]
    reshaped: int = 0
    withdrawn: int = 0
    times: StageTimes | None = field(default=None, compare=False)

    @property
    def line(self) -> str:
        """The equation that holds whenever a run ends."""
        return (
            f"listed {self.listed} videos = {self.committed} committed + {len(self.quarantined)} quarantined "
            f"+ {self.pending} pending" + (f" + {self.withdrawn} withdrawn" if self.withdrawn else "")
        )

    @property
    def exit_code(self) -> int:
        return EXIT_QUARANTINED if self.quarantined else 0


def summarize(writer: CacheWriter, source: Source, unplanned: Collection[str] = ()) -> ExtractionSummary:
    """Count every listed video once, from what is on disk. PipelineError if the counts do not add up.

    unplanned: uids of videos that are to be planned.
    """
    # In the order in which others that write the cache do it: plan, quarantine, commit. What was found committed is in
    # the reader, whoever committed it, and what was left out of it is quarantined.
    planned = dict(writer.planned_videos)
    waiting = pending_uids(writer) | set(unplanned)
    quarantined = writer.quarantined()
    if writer.is_shared:
        writer.refresh()
    names = [video.uid for video in source.videos] + [name for name, _ in source.rejected]
    usable = [name for name in names if name not in quarantined]
    without_requests = sum(name not in planned and name not in waiting for name in usable)
    pending = sum(name in waiting for name in usable)
    reader = writer.reader()
    committed_uids = set(reader.video_uids)
    committed = without_requests + sum(
        name in planned and name in committed_uids for name in usable if name not in waiting
    )
    unusable = [quarantined[name] for name in names if name in quarantined]
    if len(names) != committed + len(unusable) + pending:
        raise PipelineError(
            f"{len(names)} videos were listed, but {committed} are committed, {len(unusable)} quarantined and "
            f"{pending} pending: {writer.cache_dir} has lost records; back it up and extract into another --cache-dir"
        )
    segments = [segment for record in reader.records.values() for segment in record.segments]
    reshaped = {s.video_uid for s in segments if (s.request_status == Status.RESHAPED).any()}
    partial = {uid for uid, video in planned.items() if any(is_partial_note(note) for note in video.notes)}
    return ExtractionSummary(
        listed=len(names) + len(source.withdrawn),
        committed=committed,
        pending=pending,
        quarantined={record.source: record.reason for record in unusable},
        without_requests=without_requests,
        partial=sum(name in partial for name in usable),
        rows=reader.num_rows,
        statuses=reader.count_statuses(),
        reshaped=sum(name in reshaped for name in usable),
        withdrawn=len(source.withdrawn),
    )


def pending_uids(writer: CacheWriter) -> set[str]:
    """Videos with planned frames that are not committed."""
    committed = writer.committed_units()
    pending = {s.video_uid for unit in writer.units if unit.name not in committed for s in unit.segments}
    return pending | writer.incomplete_uids()
