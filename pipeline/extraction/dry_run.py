"""The dry run of extract-teacher: videos, frames, bytes and an estimate of the time, without extracting anything.

Loads no weights: the teacher's speed is that of its architecture. Writes nothing into the cache.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from embedonce.cache import commit
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.extraction.annotation_survey import survey
from embedonce.pipeline.extraction.estimates import DEFAULT_EMBED_DIM, Estimate
from embedonce.pipeline.extraction.label_requests import checked_requests, chosen_prompts
from embedonce.pipeline.extraction.parts import chosen_names
from embedonce.pipeline.extraction.preflight import PreflightReport, run_preflight
from embedonce.pipeline.extraction.scan_tasks import ends_early
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.snap_saving import snap_line
from embedonce.pipeline.extraction.survey_text import survey_lines
from embedonce.pipeline.files.disk_space import free_bytes
from embedonce.pipeline.processes.cores import usable_cores
from embedonce.pipeline.sources.data_summary import summarize
from embedonce.pipeline.sources.matching import CachedVideos, match_sources
from embedonce.pipeline.sources.source import Source, union, with_names
from embedonce.pipeline.teachers.teacher import CallTime


@dataclass(frozen=True)
class DryRun:
    """What a run with these settings would do.

    image: the teacher's time for one image; its processor time is 0 unless it computes on the cores that also decode.
    cores: that may be used.
    """

    config: ExtractConfig
    preflight: PreflightReport
    image: CallTime
    cores: int

    @property
    def decode_sec(self) -> float:
        """Time of all decode processes together for all frames."""
        needed = self.preflight.estimate
        return needed.frames * needed.decode_sec / self.config.num_decode_workers

    @property
    def teacher_sec(self) -> float:
        """Time of the teacher for all views of all frames, if nothing else runs."""
        return self._num_images * self.image.sec

    @property
    def total_sec(self) -> float:
        """Time of both, which run at once: that of the slower one, or of the cores for all there is to compute."""
        needed = self.preflight.estimate
        cpu_sec = needed.frames * needed.decode_cpu_sec + self._num_images * self.image.cpu_sec
        return max(self.decode_sec, self.teacher_sec, cpu_sec / self.cores)

    @property
    def _num_images(self) -> int:
        return self.preflight.estimate.frames * (1 + self.config.views)

    @property
    def unusable(self) -> dict[str, str]:
        """path in the data folder -> reason, of videos that cannot be used."""
        paths = {video.uid: video.source for video in self.preflight.source.videos}
        reasons = self.preflight.quarantined | self.preflight.scanned.failures
        return dict(self.preflight.source.rejected) | {paths[uid]: reason for uid, reason in reasons.items()}


def format_dry_run(
    config: ExtractConfig, sources: dict[str, Source], time_teacher: Callable[[ExtractConfig], CallTime]
) -> str:
    """The dry run as text. time_teacher: -> as DryRun.image. Raises the same errors as extraction."""
    sources = match_sources(sources, CachedVideos.of_folder(config.cache_dir))
    requests = checked_requests(config, sources, chosen_prompts(config))
    source = union(sources)
    chosen = chosen_names(source, config.part)
    preflight = run_preflight(config, source, requests, calibrated=True, chosen=chosen)
    if chosen is not None:
        preflight = replace(preflight, source=with_names(preflight.source, chosen), known=preflight.known & chosen)
    image = time_teacher(config) if preflight.estimate.frames else CallTime(0.0, 0.0)
    lines = [*dry_run_lines(DryRun(config, preflight, image, usable_cores()))]
    if any(video.listed_sec for video in preflight.source.videos) and config.even_fps is not None:
        lines[1:1] = _survey_lines(config, sources, preflight)
    listed_above = {kind: replace(source, rejected=()) for kind, source in sources.items()}
    lines[-1:-1] = summarize(listed_above).lines
    return block(lines)


def dry_run_lines(run: DryRun) -> Iterator[str]:
    """The dry run as lines of text; the last one names the next command."""
    config, preflight = run.config, run.preflight
    scans, needed = preflight.scanned.scans.values(), preflight.estimate
    yield f"dry run: nothing was written into {config.cache_dir}"
    if config.part is not None:
        yield f"part {config.part}: the figures below are for this part"
    yield (
        f"videos: {len(preflight.source.videos) + len(preflight.source.rejected)} listed = {len(scans)} new + "
        f"{len(preflight.known) - len(preflight.quarantined)} known + {len(run.unusable)} that cannot be used"
    )
    yield from (f"  cannot use {name}: {reason}" for name, reason in run.unusable.items())
    if preflight.source.withdrawn:
        yield f"  {len(preflight.source.withdrawn)} more were removed from this cache for good and are left out"
    without_requests = sum(not len(scan.requests.k) for scan in scans)
    if without_requests:
        yield f"  no clip lies in {without_requests} of the new ones"
    hours = sum(max(scan.timeline.end_sec, 0.0) for scan in scans) / 3600  # the first timestamp is near zero
    yield f"frames: {needed.frames} to extract, from {hours:.2f} hours of new video"
    if config.snap_sec is not None:
        yield snap_line((scan.saving for scan in scans if scan.saving), config.snap_sec)
    yield _space(config, needed)
    yield (
        f"time: about {_duration(run.total_sec)} (decoding {_duration(run.decode_sec)} with "
        f"{config.num_decode_workers} process{'es' if config.num_decode_workers > 1 else ''}, teacher "
        f"{_duration(run.teacher_sec)}, {_sharing(run)})"
    )
    if isinstance(config.cache_dir, Path) and not os.access(commit.existing_parent(config.cache_dir), os.W_OK):
        yield f"note: {config.cache_dir} cannot be written now"
    yield "next: the same command without --dry-run"


def _space(config: ExtractConfig, needed: Estimate) -> str:
    labels = f" and {in_bytes(needed.label_bytes)} for label sets" if needed.label_bytes else ""
    line = f"space: about {in_bytes(needed.num_bytes)} ({needed.bytes_per_frame / 1e3:.1f} kB per frame{labels})"
    return f"{line}, {_free_text(free_bytes(config.cache_dir), needed.num_bytes)}"


def _sharing(run: DryRun) -> str:
    if not run.image.cpu_sec:
        return "in parallel"
    return f"at once on {run.cores} core{'s' if run.cores > 1 else ''}"


def _free_text(free: int | None, needed: int) -> str:
    if free is None:
        return "into an object store"
    return f"{in_bytes(free)} free" + ("" if needed <= free else ": NOT ENOUGH")


def _survey_lines(config: ExtractConfig, sources: dict[str, Source], preflight: PreflightReport) -> Iterator[str]:
    """The survey of the annotations, with lengths of videos as scanned."""
    listed = {video.uid: video.listed_sec[1] for video in preflight.source.videos if video.listed_sec}
    scans = preflight.scanned.scans
    ends = {uid: (scan.timeline.end_sec, listed[uid]) for uid, scan in scans.items() if uid in listed}
    short = {uid: pair for uid, pair in ends.items() if ends_early(*pair)}
    return survey_lines(survey(sources, config.fps, config.views, DEFAULT_EMBED_DIM, short))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
