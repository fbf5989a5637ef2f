"""From a source's videos to an extended plan: scan the new ones, quarantine what cannot be used.

Knows sources, scans and the writer's plan; decodes no frame and knows no teacher.
"""

import logging
from dataclasses import dataclass

import numpy as np

from embedonce.cache.plan import PlannedSegment, PlannedVideo
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.engines.engine import EngineOptions, TaskFailed, TaskResult, WorkerCrashed
from embedonce.pipeline.engines.registry import make_engine
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.extraction.video_tasks import Scan, ScanTask, scan_video
from embedonce.pipeline.frames.sampling_times import Grid, Requests
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.matching import NO_FILE
from embedonce.pipeline.sources.source import Source, Video, windows_by_video

log = logging.getLogger(__name__)

ABSENT = "its file was not there when the other videos of its shard were finished"


@dataclass(frozen=True)
class Scanned:
    """What scanning found: usable videos with their requests, and reasons for the others. Order of the source.

    passing: those of the failures that may be of use another time, with the same file.
    """

    scans: dict[str, Scan]
    failures: dict[str, str]
    passing: frozenset[str] = frozenset()


def scan_new(source: Source, known: set[str], config: ExtractConfig, workers: int) -> Scanned:
    """Scan the source's videos whose uid is not known."""
    windows = windows_by_video(source)
    new = [video for video in source.videos if video.uid not in known]
    fps = config.fps if config.sampling == "fps" else None
    grids = [Grid(fps, windows.get(video.uid, ()), video.redacted) for video in new]
    tasks = [ScanTask(v.uid, v.path, grid, config.decoder, v.left_eye) for v, grid in zip(new, grids, strict=True)]
    scans, failures, passing = {}, {}, set()
    with Progress(len(tasks), "scanning videos", "videos") as progress:
        options = EngineOptions(workers, config.video_timeout)
        for event in make_engine(config.engine, scan_video, options).run(tasks):
            if isinstance(event, WorkerCrashed):
                continue
            if isinstance(event, TaskResult):
                if event.value is not None:
                    scans[event.task.uid] = event.value
                continue
            if isinstance(event, TaskFailed):
                failures[event.task.uid] = event.reason
                passing |= {event.task.uid} if event.is_temporary else set()
            progress.update()
    order = [video.uid for video in new]
    return Scanned(
        {uid: scans[uid] for uid in order if uid in scans},
        {uid: failures[uid] for uid in order if uid in failures},
        frozenset(passing),
    )


def plan_new(writer: CacheWriter, source: Source, scanned: Scanned, shard_frames: int) -> None:
    """Append the scanned videos to the plan and put the others into quarantine, each with its reason."""
    by_uid = {video.uid: video for video in source.videos}
    videos, requests = [], _lacking_requests(writer, scanned)
    for uid, scan in scanned.scans.items():
        video = by_uid[uid]
        if uid in writer.planned_videos:
            continue  # another run planned it while this one scanned, or a rebuilt plan has some of it
        if not len(scan.requests.k):
            by_key = writer.identity.fps is None
            log.info("%s: %s", video.source, "no clip holds a key frame" if by_key else "no clip asks for any of it")
            continue
        videos.append(_planned_video(video, scan, writer.identity))
        wanted = scan.requests
        requests.append(PlannedSegment(uid, wanted.frame_index, wanted.pts, wanted.k, wanted.row))
        for note in scan.timeline.notes:
            log.info("%s: %s", video.source, note)
    writer.extend_plan(videos, requests, shard_frames)
    for uid in set(scanned.scans) & set(writer.quarantined()):
        log.info("%s can be used now: out of quarantine", by_uid[uid].source)
        writer.release(uid)
    for uid, reason in scanned.failures.items():
        quarantine(writer, by_uid[uid], reason, uid in scanned.passing)
    for name, reason in source.rejected:
        writer.quarantine(name, {"source": name, "reason": reason, "num_bytes": 0, "modified_ns": 0})


def _lacking_requests(writer: CacheWriter, scanned: Scanned) -> list[PlannedSegment]:
    """What a rebuilt plan lacks of videos that it has only in part; frames that it has are never asked for twice."""
    incomplete = writer.incomplete_uids() & set(scanned.scans)
    found = []
    planned: dict[str, list[PlannedSegment]] = {uid: [] for uid in sorted(incomplete)}
    for segment in (segment for unit in writer.units for segment in unit.segments):
        if segment.video_uid in planned:
            planned[segment.video_uid].append(segment)
    for uid, there in planned.items():
        left = left_of(uid, scanned.scans[uid].requests, there)
        found += [left] if len(left.request_k) else []
        writer.settle(uid)
    if found:
        log.info("%d videos of the rebuilt plan go on where it ends", len(found))
    return found


def left_of(uid: str, wanted: Requests, planned: list[PlannedSegment]) -> PlannedSegment:
    """The requests of a video without those that are planned, and without those that planned frames would answer."""
    k = np.concatenate([np.zeros(0, np.int64), *(segment.request_k for segment in planned)])
    frame_index = np.concatenate([np.zeros(0, np.int64), *(segment.frame_index for segment in planned)])
    is_shown = wanted.row >= 0
    is_there = np.isin(wanted.k, k)
    is_there[is_shown] |= np.isin(wanted.frame_index[wanted.row[is_shown]], frame_index)
    row = wanted.row[~is_there]
    rows = np.unique(row[row >= 0])
    row = np.where(row >= 0, np.searchsorted(rows, row), row)
    return PlannedSegment(uid, wanted.frame_index[rows], wanted.pts[rows], wanted.k[~is_there], row)


def quarantine(writer: CacheWriter, video: Video, reason: str, is_temporary: bool = False) -> None:
    """Put one video into quarantine, with what tells whether its file has changed since.

    is_temporary: it is looked at again in the next run, whether its file has changed or not.
    """
    num_bytes, modified_ns = NO_FILE if is_temporary else file_state(video)
    facts = {"source": video.source, "reason": reason, "num_bytes": num_bytes, "modified_ns": modified_ns}
    writer.quarantine(video.uid, facts)


def quarantine_absent(writer: CacheWriter, uid: str, reason: str = ABSENT) -> None:
    """Put a planned video into quarantine whose file is not there, so that units it shares with others can end.

    Should its file come back, it is planned anew.
    """
    num_bytes, modified_ns = NO_FILE
    facts = {"source": writer.planned_videos[uid].source, "reason": reason}
    writer.quarantine(uid, facts | {"num_bytes": num_bytes, "modified_ns": modified_ns})


def known_uids(writer: CacheWriter, source: Source) -> set[str]:
    """The source's videos, matched, that need no scan: planned whole, or quarantined and the same file still."""
    planned, quarantined = set(writer.planned_videos) - writer.incomplete_uids(), writer.quarantined()
    known = set()
    for video in source.videos:
        facts = quarantined.get(video.uid)
        if video.uid in planned or (facts and (facts["num_bytes"], facts["modified_ns"]) == file_state(video)):
            known.add(video.uid)
    return known


def file_state(video: Video) -> tuple[int, int]:
    """(bytes, modification time in ns), by which a changed file is known."""
    try:
        stat = video.path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _planned_video(video: Video, scan: Scan, identity: CacheIdentity) -> PlannedVideo:
    timeline = scan.timeline
    num_bytes, modified_ns = file_state(video)
    shape = planned_shape(timeline, identity.canonical_short_side, video.left_eye)
    return PlannedVideo(
        uid=video.uid,
        source=video.source,
        num_bytes=num_bytes,
        modified_ns=modified_ns,
        codec=timeline.codec,
        decoded_size=timeline.size,
        rotation=timeline.rotation,
        canonical_size=shape.canonical_size,
        time_base=timeline.time_base,
        first_pts=scan.first_pts,
        num_frames=scan.num_frames,
        end_sec=timeline.end_sec,
        by_order=timeline.by_order,
        views=make_views(video.uid, shape.canonical_size, identity.num_views, identity.view_seed, identity.teacher),
        notes=timeline.notes,
        left_eye=video.left_eye,
        mirrored=timeline.mirrored,
        sample_aspect=timeline.sample_aspect.as_integer_ratio(),
        coded_aspect=timeline.coded_aspect.as_integer_ratio(),
        fingerprint=video.fingerprint,
        replaces=video.replaces,
    )
