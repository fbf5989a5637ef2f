"""extract-teacher as one call: from the names of sources and a teacher to a labeled cache."""

import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from embedonce.cache.errors import DamagedError
from embedonce.cache.labels import LabelSet
from embedonce.cache.store import has_cache, open_reader
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.console.next_commands import lacking_lines, train_line
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.cluster.registry import CLUSTERS
from embedonce.pipeline.extraction.cluster.run import extract_on_cluster
from embedonce.pipeline.extraction.dry_run import format_dry_run
from embedonce.pipeline.extraction.identity import check_teacher_name
from embedonce.pipeline.extraction.label_requests import checked_requests, chosen_prompts
from embedonce.pipeline.extraction.parts import chosen_names
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.summary import ExtractionSummary
from embedonce.pipeline.extraction.teacher_check import MIN_COSINE, choose_rows, cosines
from embedonce.pipeline.labeling import relabel as relabeling
from embedonce.pipeline.labeling.label_sets import count_with_frames, summary_line, write_labels
from embedonce.pipeline.labeling.relabel import Relabeled
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.labeling.text_targets import require_text_tower, warn_of_other_texts, write_texts
from embedonce.pipeline.labeling.zero_shot_logits import with_class_text
from embedonce.pipeline.processes.background import BackgroundCall
from embedonce.pipeline.sources.data_summary import summarize
from embedonce.pipeline.sources.known_files import KnownFiles
from embedonce.pipeline.sources.matching import CachedVideos, match_sources
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import Source, union
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup
from embedonce.pipeline.teachers.modules import module_errors
from embedonce.pipeline.teachers.places import check_place
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import Teacher, TextTeacher

log = logging.getLogger(__name__)

RECOMPUTED_BATCH = 64  # images
NEXT_AFTER_A_PART = "next: when all parts have ended, run the same command without --part, which counts all videos"
_RESHAPED = "reshaped: {} videos change the shape of their frames; times of another shape than the first are skipped"


@dataclass(frozen=True)
class ExtractTeacherResult:
    """The summary of the extraction, and the label sets that were written."""

    extraction: ExtractionSummary
    label_sets: tuple[LabelSet, ...]
    with_frames: tuple[int, ...]  # clips of each label set that have a frame
    manifest: dict
    next_line: str
    added_teachers: tuple[str, ...] = ()  # lines about those that have not embedded all frames

    def summary(self, config: ExtractConfig) -> str:
        """The text at the end of a run: counts, quarantined videos, contents of the cache, the next command."""
        counts, manifest = self.extraction, self.manifest
        lines = [
            counts.line if config.part is None else f"part {config.part}: {counts.line}",
            *(f"quarantined {source}: {reason}" for source, reason in counts.quarantined.items()),
            "requested times: " + ", ".join(f"{count} {status}" for status, count in counts.statuses.items()),
            *([f"partial: {counts.partial} videos end earlier than their headers indicate"] if counts.partial else []),
            *([_RESHAPED.format(counts.reshaped)] if counts.reshaped else []),
            f"cache {config.cache_dir} ({config.backend}): {manifest['num_rows']} frames in {len(manifest['shards'])} "
            f"shards, {manifest['num_bytes'] / 1e6:.1f} MB",
            *(summary_line(*pair) for pair in zip(self.label_sets, self.with_frames, strict=True)),
            *self.added_teachers,
        ]
        if config.weights == "random":
            lines.append("random teacher: its embeddings carry no meaning; use them to test the software only")
        return block([*lines, self.next_line if config.part is None else NEXT_AFTER_A_PART])


def run(config: ExtractConfig) -> ExtractTeacherResult:
    """Run extract-teacher."""
    with module_errors(config.teacher_module):
        return _run(teacher_loading.with_registered_teacher(config))


def _run(config: ExtractConfig) -> ExtractTeacherResult:
    if config.engine in CLUSTERS:
        CLUSTERS[config.engine].check(config)
    else:
        check_place(config.device)
    teacher_loading.check_teacher_options(config)
    prompts = chosen_prompts(config)
    cached = CachedVideos.of_folder(config.cache_dir)
    sources = match_sources(find_sources(config), cached)
    source = union(sources)
    for line in summarize(sources).lines:
        log.info("%s", line)
    requests = checked_requests(config, sources, prompts)
    if config.engine in CLUSTERS:
        cluster = CLUSTERS[config.engine]
        writer, ready, result = extract_on_cluster(
            cluster, config, source, teacher_loading.load_registered_teacher, requests, cached.files
        )
        return _labeled(config, writer, ready, result)
    with contextlib.ExitStack() as processes:
        writer, teacher, ready, result = _extract_here(config, source, requests, cached.files, processes)
        return _labeled(config, writer, ready, result, teacher)


def _labeled(
    config: ExtractConfig,
    writer: CacheWriter,
    ready: Sequence[LabelSetRequest],
    result: ExtractionSummary,
    teacher: Teacher | None = None,
) -> ExtractTeacherResult:
    """Write the label sets and the manifest, and close the writer. teacher: the loaded one, which embeds texts."""
    try:
        for request in ready:
            write_labels(writer, request, config.seed)
            if request.embeds_texts:
                write_texts(writer, request, cast(TextTeacher, teacher))
            warn_of_other_texts(writer, request)
        manifest = writer.write_manifest()
        reader = writer.reader()
        label_sets = tuple(reader.label_set(request.labels.name) for request in ready)
        with_frames = tuple(count_with_frames(reader, labels.clips) for labels in label_sets)
        following, lacking = train_line(reader, label_sets[0]), tuple(lacking_lines(reader))
    except BaseException:
        log.warning("%s; the label sets are not finished", result.line)
        raise
    finally:
        writer.close()
    return ExtractTeacherResult(result, label_sets, with_frames, manifest, following, lacking)


def _extract_here(
    config: ExtractConfig,
    source: Source,
    requests: Collection[LabelSetRequest],
    files: KnownFiles,
    processes: contextlib.ExitStack,
) -> tuple[CacheWriter, Teacher, Sequence[LabelSetRequest], ExtractionSummary]:
    """The open writer, the teacher, the requests with the embeddings of their class prompts, and the summary.

    processes: closes those of the teacher.
    """
    ready: list[LabelSetRequest] = []

    def load() -> Teacher:
        imports.wait()
        teacher = teacher_loading.load_teacher(config)
        if isinstance(teacher, TeacherGroup):
            processes.callback(teacher.close)
        require_text_tower(requests, teacher)
        ready.extend(with_class_text(request, teacher) for request in requests)
        if isinstance(teacher, TextTeacher) and not config.embed_texts:
            teacher.drop_text_tower()
        return teacher

    imports = BackgroundCall(loader_of(config.model).prepare, "imports")  # while videos are scanned
    writer, teacher, result = extract(config, source, load, requests, chosen_names(source, config.part), files)
    return writer, teacher, ready, result


def recomputed(cache_dir: Path | str, count: int, **teacher) -> np.ndarray:
    """(n, 1+K) cosines of random stored embeddings with new ones. Raises IdentityMismatchError for another teacher.

    teacher: the options of teacher_loading.teacher_of().
    """
    reader = open_reader(cache_dir)
    with module_errors(teacher.get("teacher_module")):
        loaded = BatchedTeacher(teacher_loading.teacher_of(reader, **teacher), RECOMPUTED_BATCH)
        similarity = cosines(reader, loaded, choose_rows(reader, count, teacher["seed"]))
    if similarity.size and not similarity.min() >= MIN_COSINE:
        raise DamagedError(f"a stored row has the cosine {similarity.min():.4f} with the teacher's embedding now")
    return similarity


def relabel(config: RelabelConfig) -> Relabeled:
    """Run relabel."""
    named = ("teacher_weights", "teacher_model", "teacher_activation", "teacher_preprocess", "teacher_module")
    options = {name: getattr(config, name) for name in (*named, "device", "seed")}
    with module_errors(config.teacher_module):
        return relabeling.relabel(config, lambda reader: teacher_loading.teacher_of(reader, **options))


def dry_run(config: ExtractConfig) -> str:
    """Run extract-teacher --dry-run; returns its text."""
    with module_errors(config.teacher_module):
        return _dry_run(teacher_loading.with_registered_teacher(config))


def _dry_run(config: ExtractConfig) -> str:
    loader, options = loader_of(config.model), teacher_loading.teacher_options(config)
    check_place(config.device)
    teacher_loading.check_runtime(config)
    loader.check_options(options)
    names = loader.names(options)
    if names is not None:
        check_teacher_name(config, *names)
    return format_dry_run(config, find_sources(config), teacher_loading.teacher_time)


def find_sources(config: ExtractConfig) -> dict[str, Source]:
    """The sources that the settings name, by kind of annotation."""
    cached_uids = open_reader(config.cache_dir).planned_uids() if has_cache(config.cache_dir) else ()
    return open_sources(config.data_dir, config, cached_uids=cached_uids, cache_dir=config.cache_dir)
