"""Extraction: from videos and a teacher to a committed cache. Only the order of the steps is here."""

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from embedonce.cache.errors import CacheError
from embedonce.cache.layout import FILE_FINGERPRINTS
from embedonce.cache.plan import Unit
from embedonce.cache.store import has_cache, open_writer, refuse_busy
from embedonce.cache.stores.registry import open_store, stored_path
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.frame_pipeline import FramePipeline
from embedonce.pipeline.extraction.identity import make_identity
from embedonce.pipeline.extraction.pending_units import pending_units
from embedonce.pipeline.extraction.pending_videos import PendingVideos
from embedonce.pipeline.extraction.planning import plan_new, quarantine_rejected_files
from embedonce.pipeline.extraction.preflight import PreflightReport, run_preflight
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.stage_times import StageClock, StageTimes
from embedonce.pipeline.extraction.summary import ExtractionSummary, summarize
from embedonce.pipeline.extraction.teacher_check import check_teacher
from embedonce.pipeline.extraction.waves import NewVideos, packet_plans
from embedonce.pipeline.files.disk_space import check_space
from embedonce.pipeline.files.output_folder import check_saved_settings
from embedonce.pipeline.files.recognition import is_settings
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.known_files import KnownFiles
from embedonce.pipeline.sources.source import Source, windows_by_video, with_names
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup, batched
from embedonce.pipeline.teachers.teacher import Teacher
from embedonce.pipeline.video.skipping import PackedPlan

log = logging.getLogger(__name__)

SETTINGS = "extract_config.yaml"
_LESS_SPACE = "choose another --cache-dir, a lower --fps, fewer --views or --no-store-logits"


def prepare(
    config: ExtractConfig,
    source: Source,
    requests: Collection[LabelSetRequest] = (),
    chosen: frozenset[str] | None = None,
) -> PreflightReport:
    """Everything that can be found wrong before a teacher is loaded: settings, permissions, locks, videos, space.

    Parameters as in extract().
    """
    check_saved_settings(stored_path(config.cache_dir) / SETTINGS, partial(is_settings, kind=ExtractConfig))
    open_store(config.cache_dir).check_writable()
    if has_cache(config.cache_dir):
        refuse_busy(config.cache_dir, is_shared=chosen is not None)
    preflight = run_preflight(config, source, requests, in_waves=True, chosen=chosen)
    check_space(config.cache_dir, preflight.estimate.num_bytes, _LESS_SPACE)
    return preflight


def extract(
    config: ExtractConfig,
    source: Source,
    load_teacher: Callable[[], Teacher],
    requests: Collection[LabelSetRequest] = (),
    chosen: frozenset[str] | None = None,
    files: KnownFiles | None = None,
) -> tuple[CacheWriter, Teacher, ExtractionSummary]:
    """Extract everything in source that is not in the cache yet.

    load_teacher is called once the cache folder is known to be writable and the new videos are scanned. requests: label
    sets that the caller will write, for which there must be space. chosen: uids of the only videos to extract, and the
    names of the only other files to count, while other processes extract the rest into the same cache; None for all,
    alone. files: what was learned of the files, which the cache keeps for the next run. Returns the open writer, the
    teacher, and the summary of the run, which counts what is chosen.
    """
    clock, is_shared = StageClock(), chosen is not None
    preflight = prepare(config, source, requests, chosen)
    source = preflight.source
    teacher = load_teacher()
    embedder = batched(teacher, config.most_images)
    writer = open_writer(config.cache_dir, make_identity(config, teacher), is_shared=is_shared)
    plan = partial(plan_new, writer, source, shard_frames=config.shard_frames)
    new_videos = NewVideos(preflight.unscanned, windows_by_video(source), config, plan)
    counted = source if chosen is None else with_names(source, chosen)
    try:
        if preflight.known:
            check_teacher(writer.reader(), embedder)
            if not is_shared and writer.rebuild_manifest_if_stale():
                log.info("manifest.json did not match the records: it was rebuilt from them")
        continued = writer.incomplete_uids()  # their remaining frames are not the ones that their scans prepared for
        plan(preflight.scanned)
        quarantine_rejected_files(writer, counted)
        write_sidecars(writer, config, source, files)
        plans = {uid: plan for uid, plan in packet_plans(preflight.scanned).items() if uid not in continued}
        units = pending_units(writer, {video.uid for video in source.videos}, chosen)
        times = _extract_units(config, writer, source, embedder, units, plans, new_videos, clock)
        writer.refresh()
        writer.write_manifest()
        return writer, teacher, replace(summarize(writer, counted), times=times)
    except BaseException:
        with contextlib.suppress(CacheError, PipelineError, OSError):  # the error that ended the run is the one to show
            if writer.plan:
                log.warning("%s", summarize(writer, counted, new_videos.uids).line)
        writer.close()
        raise


def write_sidecars(writer: CacheWriter, config: ExtractConfig, source: Source, files: KnownFiles | None) -> None:
    """Keep the settings in the cache, and what was learned of the source's files."""
    writer.write_sidecar(SETTINGS, config.as_yaml())
    if files is not None and (text := files.text_of([video.path for video in source.videos])) is not None:
        writer.write_sidecar(FILE_FINGERPRINTS, text)


def _extract_units(
    config: ExtractConfig,
    writer: CacheWriter,
    source: Source,
    teacher: BatchedTeacher | TeacherGroup,
    units: Collection[Unit],
    plans: Mapping[str, PackedPlan | None],
    new_videos: NewVideos,
    clock: StageClock,
) -> StageTimes | None:
    """Extract these units, and the new videos. Returns how busy the stages were; None if there was no frame."""
    videos = {video.uid: video for video in source.videos}
    embedding_shape = (1 + writer.identity.num_views, writer.identity.teacher.embed_dim)
    builder = ShardBuilder((), writer.planned_videos, embedding_shape)
    pending = PendingVideos(config, writer, builder, videos)
    quarantined = writer.quarantined()
    uids = [uid for uid in pending.add(units, plans) if uid not in quarantined]
    for name in quarantined:
        builder.drop(name)
    if uids or new_videos.uids:
        teacher.choose_batch_size()
    pipeline = FramePipeline(config, writer, teacher, builder, pending, new_videos, clock)
    with Progress(0, "extracting frames", "frames") as progress:
        times = pipeline.run(uids, config.num_decode_workers, progress)
    modes = ", ".join(f"{count} videos {mode}" for mode, count in pipeline.decode_modes())
    if modes:
        log.info("decoding: %s", modes)
    if not progress.total:
        return None
    for line in times.lines:
        log.info("%s", line)
    return times
