"""What extract-teacher would do, said without doing it: videos, frames, bytes, an estimate of time, what is left out.

Loads no weights: the teacher's speed is that of its architecture. Writes nothing into the cache.
"""

import time
from collections.abc import Callable

import numpy as np

from embedonce.pipeline.console.printable import block
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.extraction.annotation_survey import in_words, survey
from embedonce.pipeline.extraction.estimates import USUAL_DIM
from embedonce.pipeline.extraction.preflight import PreflightReport, free_bytes, run_preflight
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.label_sets import asked_labels, check_label_sets, refuse_lost_classes
from embedonce.pipeline.sources.data_summary import summarize
from embedonce.pipeline.sources.matching import CachedVideos, match_sources
from embedonce.pipeline.sources.source import Source, union
from embedonce.pipeline.video.announced_length import PARTIAL_SEC

TEACHER_ROUNDS = 3
BATCH = 16  # images that the teacher is timed on


def plan_in_words(config: ExtractConfig, sources: dict[str, Source], time_teacher: Callable[[ExtractConfig], float]):
    """The plan in a few lines. time_teacher: -> seconds for one image. Errors as extraction would raise them."""
    sources = match_sources(sources, CachedVideos.of_folder(config.cache_dir))
    refuse_lost_classes(config, sources)
    asked = [
        asked_labels(one, kind, config.teacher_head, config.label_set, config.wording) for kind, one in sources.items()
    ]
    check_label_sets(config.cache_dir, asked)
    source = union(sources)
    found = run_preflight(config, source, calibrated=True)
    source = found.source
    lines = [*_lines(config, source, found, time_teacher(config) if found.estimate.frames else 0.0)]
    if any(video.listed_sec for video in source.videos) and config.sampling == "fps":
        listed = {video.uid: video.listed_sec[1] for video in source.videos if video.listed_sec}
        ends = {uid: (scan.timeline.end_sec, listed[uid]) for uid, scan in found.scanned.scans.items() if uid in listed}
        short = {uid: pair for uid, pair in ends.items() if pair[0] < pair[1] - PARTIAL_SEC}
        lines[1:1] = in_words(survey(sources, config.fps, config.views, USUAL_DIM), short)
    lines[-1:-1] = summarize(sources).lines
    return block(lines)


def teacher_seconds(config: ExtractConfig) -> float:
    """Seconds that one image takes in the teacher's architecture with random weights, in batches."""
    import torch

    from embedonce.models.device import autocast, choose_device
    from embedonce.models.teachers.open_clip import image_tower_for_latency
    from embedonce.models.teachers.precision import fast_precision
    from embedonce.pipeline.processes.timing import synchronizer

    device = choose_device(config.device)
    tower, size = image_tower_for_latency(config.model, device)
    images, wait = torch.zeros(BATCH, 3, size, size, device=device), synchronizer(device) or (lambda: None)
    seconds = []
    with torch.inference_mode(), autocast(device, fast_precision(device)):
        for _ in range(1 + TEACHER_ROUNDS):
            wait()
            start = time.perf_counter()
            tower(images)
            wait()
            seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:])) / BATCH


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
