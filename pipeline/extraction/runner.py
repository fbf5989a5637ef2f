"""Extraction: from videos and a teacher to a committed cache. Only the order of the steps is here."""

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from embedonce.cache.errors import CacheError
from embedonce.cache.plan import Unit
from embedonce.cache.store import has_cache, open_writer, refuse_busy
from embedonce.cache.stores.registry import open_store, stored_path
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.frame_pipeline import FramePipeline
from embedonce.pipeline.extraction.identity import make_identity
from embedonce.pipeline.extraction.planning import plan_new
from embedonce.pipeline.extraction.preflight import run_preflight
from embedonce.pipeline.extraction.quarantine import quarantine_absent
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.stage_times import StageClock, StageTimes
from embedonce.pipeline.extraction.summary import ExtractionSummary, summarize
from embedonce.pipeline.extraction.teacher_check import check_teacher
from embedonce.pipeline.files.disk_space import check_space
from embedonce.pipeline.files.output_folder import check_saved_settings
from embedonce.pipeline.files.recognition import is_settings
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup
from embedonce.pipeline.teachers.teacher import Teacher
from embedonce.pipeline.video.skipping import PackedPlan

log = logging.getLogger(__name__)

SETTINGS = "extract_config.yaml"
_LESS_SPACE = "choose another --cache-dir, a lower --fps, fewer --views or --no-store-logits"


def extract(
    config: ExtractConfig,
    source: Source,
    load_teacher: Callable[[], Teacher],
    requests: Collection[LabelSetRequest] = (),
) -> tuple[CacheWriter, Teacher, ExtractionSummary]:
    """Extract everything in source that is not in the cache yet.

    load_teacher is called once the cache folder is known to be writable and the new videos are scanned. requests: label
    sets that the caller will write, for which there must be space. Returns the open writer, the teacher, and the
    summary of the run.
    """
    clock = StageClock()
    check_saved_settings(stored_path(config.cache_dir) / SETTINGS, partial(is_settings, kind=ExtractConfig))
    open_store(config.cache_dir).check_writable()
    if has_cache(config.cache_dir):
        refuse_busy(config.cache_dir)
    preflight = run_preflight(config, source, requests)
    source = preflight.source
    check_space(config.cache_dir, preflight.estimate.num_bytes, _LESS_SPACE)
    teacher = load_teacher()
    batched = teacher if isinstance(teacher, TeacherGroup) else BatchedTeacher(teacher, config.batch_size)
    writer = open_writer(config.cache_dir, make_identity(config, teacher))
    try:
        if preflight.known:
            check_teacher(writer.reader(), batched)
            if writer.rebuild_manifest_if_stale():
                log.info("manifest.json did not match the records: it was rebuilt from them")
        continued = writer.incomplete_uids()  # their remaining frames are not the ones that their scans prepared for
        plan_new(writer, source, preflight.scanned, config.shard_frames)
        writer.write_sidecar(SETTINGS, config.as_yaml())
        plans = {uid: scan.plan for uid, scan in preflight.scanned.scans.items() if uid not in continued}
        times = _extract_pending(config, writer, source, batched, plans, clock)
        writer.write_manifest()
        return writer, teacher, replace(summarize(writer, source), times=times)
    except BaseException:
        with contextlib.suppress(CacheError, PipelineError, OSError):  # the error that ended the run is the one to show
            if writer.plan:
                log.warning("%s", summarize(writer, source).line)
        writer.close()
        raise


def _extract_pending(
    config: ExtractConfig,
    writer: CacheWriter,
    source: Source,
    teacher: BatchedTeacher | TeacherGroup,
    plans: Mapping[str, PackedPlan | None],
    clock: StageClock,
) -> StageTimes | None:
    """Extract what is not committed. Returns how busy the stages were; None if no frame was left to extract."""
    videos = {video.uid: video for video in source.videos}
    pending = _pending_units(writer, set(videos))
    embedding_shape = (1 + writer.identity.num_views, writer.identity.teacher.embed_dim)
    builder = ShardBuilder(pending, writer.planned_videos, embedding_shape)
    for name in writer.quarantined():
        builder.drop(name)
    pipeline = FramePipeline(config, writer, teacher, builder, videos, plans, clock)
    num_rows = builder.num_rows
    with Progress(num_rows, "extracting frames", "frames") as progress:
        times = pipeline.run(config.num_decode_workers, progress)
    modes = ", ".join(f"{count} videos {mode}" for mode, count in pipeline.decode_modes())
    if modes:
        log.info("decoding: %s", modes)
    if not num_rows:
        return None
    for line in times.lines:
        log.info("%s", line)
    return times


def _pending_units(writer: CacheWriter, existing: set[str]) -> tuple[Unit, ...]:
    """The units to extract: pending ones with at least one video that exists. Their missing videos are quarantined."""
    committed, quarantined = writer.committed_units(), set(writer.quarantined())
    pending = [unit for unit in writer.units if unit.name not in committed]
    usable = {unit.name: {segment.video_uid for segment in unit.segments} - quarantined for unit in pending}
    to_extract = tuple(unit for unit in pending if not usable[unit.name] or usable[unit.name] & existing)
    absent = {uid for unit in to_extract for uid in usable[unit.name] - existing}
    for uid in sorted(absent):
        quarantine_absent(writer, uid)
    if absent:
        log.warning("%d planned videos are missing: the shards they share are finished without them", len(absent))
    if len(pending) > len(to_extract):
        log.info("%d units wait for missing videos", len(pending) - len(to_extract))
    if committed and to_extract:
        log.info("resuming: %d units committed, %d to do", len(committed), len(to_extract))
    return to_extract
