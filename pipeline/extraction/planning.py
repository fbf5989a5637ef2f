"""From a source's videos to an extended plan: scan the new ones, quarantine those that cannot be used.

Decodes no frames and needs no teacher.
"""

import logging

import numpy as np

from embedonce.cache.plan import PlannedSegment, PlannedVideo, Unit
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.state import CacheState
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.quarantine import file_state, quarantine, quarantine_rejected
from embedonce.pipeline.extraction.scan_tasks import Scan
from embedonce.pipeline.extraction.scanning import ScanResults
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames.sampling_times import Requests
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.sources.source import Source, Video

log = logging.getLogger(__name__)


def plan_new(writer: CacheWriter, source: Source, scanned: ScanResults, shard_frames: int) -> tuple[Unit, ...]:
    """Append the scanned videos to the plan, and quarantine the others with their reasons. Returns the new units."""
    by_uid = {video.uid: video for video in source.videos}
    videos, requests = [], _missing_requests(writer, scanned)
    for uid, scan in scanned.scans.items():
        video = by_uid[uid]
        if uid in writer.planned_videos:
            continue  # another run has planned it meanwhile, or a rebuilt plan contains a part of it
        if not len(scan.requests.k):
            wanted = "key frame" if writer.identity.fps is None else "requested time"
            log.info("%s: none of its clips contains a %s", video.source, wanted)
            continue
        videos.append(_planned_video(video, scan, writer.identity))
        new = scan.requests
        requests.append(PlannedSegment(uid, new.frame_index, new.pts, new.k, new.row))
        for note in scan.timeline.notes:
            log.info("%s: %s", video.source, note)
    units = writer.extend_plan(videos, requests, shard_frames)
    own = {segment.video_uid for unit in units for segment in unit.segments}
    theirs = set(writer.planned_videos) - own  # another process decides what it can use of those that it has planned
    for uid in (set(scanned.scans) & set(writer.quarantined())) - (theirs if writer.is_shared else set()):
        log.info("%s is usable now and was removed from quarantine", by_uid[uid].source)
        writer.release(uid)
    for uid, reason in scanned.failures.items():
        quarantine(writer, by_uid[uid], reason, uid in scanned.temporary)
    return units


def quarantine_rejected_files(writer: CacheWriter, source: Source) -> None:
    """Quarantine the files that the source rejected before any was scanned."""
    for name, reason in source.rejected:
        quarantine_rejected(writer, name, reason)


def known_uids(state: CacheState, source: Source) -> set[str]:
    """The uids of a matched source that need no scan: fully planned, or quarantined and with an unchanged file."""
    planned = set(state.planned_videos) - state.incomplete_uids()
    known = set()
    for video in source.videos:
        record = state.quarantined.get(video.uid)
        if video.uid in planned or (record and (record.num_bytes, record.modified_ns) == file_state(video)):
            known.add(video.uid)
    return known


def remaining_requests(uid: str, requests: Requests, planned: list[PlannedSegment]) -> PlannedSegment:
    """The requests of a video that are neither planned nor answered by planned frames."""
    planned_k = np.concatenate([np.zeros(0, np.int64), *(segment.request_k for segment in planned)])
    planned_index = np.concatenate([np.zeros(0, np.int64), *(segment.frame_index for segment in planned)])
    has_frame = requests.row >= 0
    is_planned = np.isin(requests.k, planned_k)
    is_planned[has_frame] |= np.isin(requests.frame_index[requests.row[has_frame]], planned_index)
    row = requests.row[~is_planned]
    rows = np.unique(row[row >= 0])
    row = np.where(row >= 0, np.searchsorted(rows, row), row)
    return PlannedSegment(uid, requests.frame_index[rows], requests.pts[rows], requests.k[~is_planned], row)


def _missing_requests(writer: CacheWriter, scanned: ScanResults) -> list[PlannedSegment]:
    """The requests that a rebuilt plan lacks of partly planned videos. No planned frame is requested again."""
    incomplete = writer.incomplete_uids() & set(scanned.scans)
    missing = []
    planned: dict[str, list[PlannedSegment]] = {uid: [] for uid in sorted(incomplete)}
    for segment in (segment for unit in writer.units for segment in unit.segments):
        if segment.video_uid in planned:
            planned[segment.video_uid].append(segment)
    for uid, segments in planned.items():
        remaining = remaining_requests(uid, scanned.scans[uid].requests, segments)
        missing += [remaining] if len(remaining.request_k) else []
        writer.settle(uid)
    if missing:
        log.info("%d videos were only partly in the plan; their other frames were added to it", len(missing))
    return missing


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
        views=make_views(
            *(video.uid, shape.canonical_size, identity.num_views, identity.view_seed, identity.teacher),
            smallest_area=identity.view_area,
        ),
        notes=timeline.notes,
        left_eye=video.left_eye,
        mirrored=timeline.mirrored,
        sample_aspect=timeline.sample_aspect.as_integer_ratio(),
        coded_aspect=timeline.coded_aspect.as_integer_ratio(),
        fingerprint=video.fingerprint,
        replaces=video.replaces,
    )
