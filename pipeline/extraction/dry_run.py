"""What extract-teacher would do, said without doing it: videos, frames, bytes, an estimate of time, what is left out.

Loads no weights: the teacher's speed is that of its architecture. Writes nothing into the cache.
"""

from collections.abc import Callable

from embedonce.pipeline.console.printable import block
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.extraction.annotation_survey import in_words, survey
from embedonce.pipeline.extraction.estimates import USUAL_DIM
from embedonce.pipeline.extraction.preflight import PreflightReport, free_bytes, run_preflight
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.requests import check_requests, refuse_lost_classes, request_label_set
from embedonce.pipeline.sources.data_summary import data_lines
from embedonce.pipeline.sources.matching import known_in, match_sources
from embedonce.pipeline.sources.source import Source, union
from embedonce.pipeline.video.announced_length import PARTIAL_SEC


def plan_in_words(config: ExtractConfig, sources: dict[str, Source], time_teacher: Callable[[ExtractConfig], float]):
    """The plan in a few lines. time_teacher: -> seconds for one image. Errors as extraction would raise them."""
    sources = match_sources(sources, known_in(config.cache_dir))
    refuse_lost_classes(config.cache_dir, sources, config.label_set, config.teacher_head)
    requests = [
        request_label_set(source, kind, config.teacher_head, config.label_set, config.wording)
        for kind, source in sources.items()
    ]
    check_requests(config.cache_dir, requests)
    source = union(sources)
    found = run_preflight(config, source, calibrated=True)
    source = found.source
    lines = [*_lines(config, source, found, time_teacher(config) if found.estimate.frames else 0.0)]
    if source.kind == "ego4d" and config.sampling == "fps":
        listed = {video.uid: video.listed_sec[1] for video in source.videos if video.listed_sec}
        ends = {uid: (scan.timeline.end_sec, listed[uid]) for uid, scan in found.scanned.scans.items() if uid in listed}
        short = {uid: pair for uid, pair in ends.items() if pair[0] < pair[1] - PARTIAL_SEC}
        lines[1:1] = in_words(survey(sources, config.fps, config.views, USUAL_DIM), short)
    lines[-1:-1] = data_lines(sources)
    return block(lines)


def _lines(config: ExtractConfig, source: Source, survey: PreflightReport, image_sec: float):
    needed, workers = survey.estimate, config.num_decode_workers
    sources = {video.uid: video.source for video in source.videos}
    unusable = survey.bad | survey.scanned.failures
    left_out = dict(source.rejected) | {sources[uid]: reason for uid, reason in unusable.items()}
    unasked = sum(not len(scan.requests.k) for scan in survey.scanned.scans.values())
    yield f"dry run: nothing was written into {config.cache_dir}"
    yield (
        f"videos: {len(sources) + len(source.rejected)} listed = {len(survey.scanned.scans)} new + "
        f"{len(survey.known) - len(survey.bad)} known + {len(left_out)} that cannot be used"
    )
    yield from (f"  left out {name}: {reason}" for name, reason in left_out.items())
    if unasked:
        yield f"  of {unasked} of the new ones no clip asks for anything"
    hours = sum(_seconds(scan.timeline) for scan in survey.scanned.scans.values()) / 3600
    yield f"frames: {needed.frames} to extract, from {hours:.2f} hours of new video"
    yield (
        f"space: about {in_bytes(needed.num_bytes)} ({needed.bytes_per_frame / 1e3:.1f} kB a frame), "
        f"{in_bytes(free_bytes(config))} free" + ("" if needed.num_bytes <= free_bytes(config) else ": NOT ENOUGH")
    )
    decode_sec = needed.frames * needed.decode_sec / workers
    teacher_sec = needed.frames * (1 + config.views) * image_sec
    yield (
        f"time: about {_duration(max(decode_sec, teacher_sec))} (decoding {_duration(decode_sec)} by {workers} "
        f"process{'es' if workers > 1 else ''}, teacher {_duration(teacher_sec)}, side by side)"
    )
    yield "next: the same command without --dry-run"


def _seconds(timeline) -> float:
    """How long a scanned video is; its first timestamp is near zero."""
    return max(timeline.end_sec, 0.0)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
