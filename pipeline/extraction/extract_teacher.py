"""extract-teacher as one call: from the names of sources and a teacher to a labeled cache.

The only module that loads a teacher; training and evaluation never import it.
"""

import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from embedonce.cache.errors import DamagedError
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity
from embedonce.cache.store import check_identity, has_cache, open_reader
from embedonce.cache.writer import CacheWriter
from embedonce.models.errors import ModelOptionError
from embedonce.models.names import PYTORCH, SHIPPED_WEIGHTS
from embedonce.pipeline.console.next_commands import train_line
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.extraction.cluster.registry import CLUSTERS
from embedonce.pipeline.extraction.cluster.run import extract_on_cluster
from embedonce.pipeline.extraction.dry_run import format_dry_run
from embedonce.pipeline.extraction.identity import check_teacher_name
from embedonce.pipeline.extraction.label_requests import checked_requests, chosen_prompts
from embedonce.pipeline.extraction.parts import chosen_names
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.setting_checks import PROGRAMS
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.summary import ExtractionSummary
from embedonce.pipeline.extraction.teacher_check import MIN_COSINE, choose_rows, cosines
from embedonce.pipeline.labeling import relabel as relabeling
from embedonce.pipeline.labeling.label_sets import count_with_frames, summary_line, write_labels
from embedonce.pipeline.labeling.relabel import Relabeled
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.labeling.zero_shot_logits import with_class_text
from embedonce.pipeline.processes.background import BackgroundCall
from embedonce.pipeline.sources.data_summary import summarize
from embedonce.pipeline.sources.matching import CachedVideos, match_sources
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import Source, union
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup, start_group
from embedonce.pipeline.teachers.modules import model_of_module, module_errors
from embedonce.pipeline.teachers.places import check_place, is_cpu, teacher_places
from embedonce.pipeline.teachers.registry import DEFAULT, loader_of
from embedonce.pipeline.teachers.teacher import CallTime, Teacher, TeacherOptions, TextTeacher

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
        ]
        if config.weights == "random":
            lines.append("random teacher: its embeddings carry no meaning; use them to test the software only")
        return block([*lines, self.next_line if config.part is None else NEXT_AFTER_A_PART])


def run(config: ExtractConfig) -> ExtractTeacherResult:
    """Run extract-teacher."""
    with module_errors(config.teacher_module):
        return _run(with_registered_teacher(config))


def _run(config: ExtractConfig) -> ExtractTeacherResult:
    if config.engine in CLUSTERS:
        CLUSTERS[config.engine].check(config)
    else:
        check_place(config.device)
    _check_teacher_options(config)
    prompts = chosen_prompts(config)
    sources = match_sources(find_sources(config), CachedVideos.of_folder(config.cache_dir))
    source = union(sources)
    for line in summarize(sources).lines:
        log.info("%s", line)
    requests = checked_requests(config, sources, prompts)
    if config.engine in CLUSTERS:
        cluster = CLUSTERS[config.engine]
        writer, ready, result = extract_on_cluster(cluster, config, source, load_registered_teacher, requests)
    else:
        writer, ready, result = _extract_here(config, source, requests)
    try:
        for request in ready:
            write_labels(writer, request, config.seed)
        manifest = writer.write_manifest()
        reader = writer.reader()
        label_sets = tuple(reader.label_set(request.labels.name) for request in ready)
        with_frames = tuple(count_with_frames(reader, labels.clips) for labels in label_sets)
        following = train_line(reader, label_sets[0])
    except BaseException:
        log.warning("%s; the label sets are not finished", result.line)
        raise
    finally:
        writer.close()
    return ExtractTeacherResult(result, label_sets, with_frames, manifest, following)


def _check_teacher_options(config: ExtractConfig) -> None:
    """ModelOptionError for what is wrong with them, before videos are scanned if it takes no import of open_clip."""
    _check_runtime(config)
    loader = loader_of(config.model)
    is_open_clip = loader is loader_of(DEFAULT)
    if not is_open_clip or config.teacher_activation is not None or config.teacher_runtime != PYTORCH:
        loader.check_options(teacher_options(config))


def _extract_here(
    config: ExtractConfig, source: Source, requests: Collection[LabelSetRequest]
) -> tuple[CacheWriter, Sequence[LabelSetRequest], ExtractionSummary]:
    """The open writer, the requests with the embeddings of their class prompts, and the summary of the extraction."""
    ready: list[LabelSetRequest] = []

    def load() -> Teacher:
        imports.wait()
        teacher = _load_teacher(config)
        if isinstance(teacher, TeacherGroup):
            processes.callback(teacher.close)
        ready.extend(with_class_text(request, teacher) for request in requests)
        if isinstance(teacher, TextTeacher):
            teacher.drop_text_tower()
        return teacher

    imports = BackgroundCall(loader_of(config.model).prepare, "imports")  # while videos are scanned
    with contextlib.ExitStack() as processes:
        writer, _, result = extract(config, source, load, requests, chosen_names(source, config.part))
    return writer, ready, result


def recomputed(cache_dir: Path | str, count: int, **teacher) -> np.ndarray:
    """(n, 1+K) cosines of random stored embeddings with new ones. Raises IdentityMismatchError for another teacher.

    teacher: the options of teacher_of().
    """
    reader = open_reader(cache_dir)
    with module_errors(teacher.get("teacher_module")):
        loaded = BatchedTeacher(teacher_of(reader, **teacher), RECOMPUTED_BATCH)
        similarity = cosines(reader, loaded, choose_rows(reader, count, teacher["seed"]))
    if similarity.size and not similarity.min() >= MIN_COSINE:
        raise DamagedError(f"a stored row has the cosine {similarity.min():.4f} with the teacher's embedding now")
    return similarity


def relabel(config: RelabelConfig) -> Relabeled:
    """Run relabel."""
    named = ("teacher_weights", "teacher_model", "teacher_activation", "teacher_preprocess", "teacher_module")
    options = {name: getattr(config, name) for name in (*named, "device", "seed")}
    with module_errors(config.teacher_module):
        return relabeling.relabel(config, lambda reader: teacher_of(reader, **options))


def teacher_of(reader: CacheReader, **options) -> Teacher:
    """The teacher that made a cache. Raises IdentityMismatchError if the chosen teacher is another one.

    options: teacher_weights, teacher_model, teacher_preprocess (None: those of the cache), teacher_activation,
    teacher_module, teacher_onnx, teacher_torchscript, device, seed.
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    cached = reader.identity.teacher
    defaults = {"teacher_model": cached.name, "teacher_weights": cached.weights}
    if not PROGRAMS.keys().isdisjoint(chosen):
        defaults = {}
    made = ExtractConfig(None, False, reader.cache_dir, teacher_processes=1, **(defaults | chosen))
    config = with_registered_teacher(made)
    loaded = _load_teacher(config, cached)
    check_identity(replace(reader.identity, teacher=loaded.identity), reader.identity, reader.cache_dir)
    return loaded


def dry_run(config: ExtractConfig) -> str:
    """Run extract-teacher --dry-run; returns its text."""
    with module_errors(config.teacher_module):
        return _dry_run(with_registered_teacher(config))


def _dry_run(config: ExtractConfig) -> str:
    loader, options = loader_of(config.model), teacher_options(config)
    check_place(config.device)
    _check_runtime(config)
    loader.check_options(options)
    names = loader.names(options)
    if names is not None:
        check_teacher_name(config, *names)
    return format_dry_run(config, find_sources(config), teacher_time)


def teacher_time(config: ExtractConfig) -> CallTime:
    """Estimated time of the teacher for one image: less on several devices, and no processor time on a GPU."""
    places = teacher_places(config.device, config.teacher_processes)
    options = replace(teacher_options(config), device=places[0])
    image = loader_of(config.model).time_per_image(options)
    return image if is_cpu(places[0]) else CallTime(image.sec / len(set(places)), 0.0)


def find_sources(config: ExtractConfig) -> dict[str, Source]:
    """The sources that the settings name, by kind of annotation."""
    cached_uids = open_reader(config.cache_dir).planned_uids() if has_cache(config.cache_dir) else ()
    return open_sources(config.data_dir, config, cached_uids=cached_uids, cache_dir=config.cache_dir)


def with_registered_teacher(config: ExtractConfig) -> ExtractConfig:
    """The settings, after running the file of --teacher-module, with the name of the teacher that it registers."""
    if config.teacher_module is None:
        return config
    return replace(config, teacher_model=model_of_module(config.teacher_module, config.teacher_model))


def load_registered_teacher(config: ExtractConfig) -> Teacher:
    """The teacher of these settings, in a process that has not run the file of --teacher-module yet."""
    return _load_teacher(with_registered_teacher(config))


def teacher_options(config: ExtractConfig, cached: TeacherIdentity | None = None) -> TeacherOptions:
    """The choice of a teacher in these settings; cached: the identity of the cache's teacher, if there is a cache."""
    how = config.teacher_activation, config.teacher_preprocess, config.device, config.seed
    weights, runtime, size = config.given_weights, config.teacher_runtime, config.teacher_input_size
    return TeacherOptions(config.model, weights, *how, cached, runtime=runtime, input_size=size)


def _check_runtime(config: ExtractConfig) -> None:
    if config.teacher_runtime not in loader_of(config.model).runtimes:
        raise ModelOptionError(
            f"--teacher-runtime {config.teacher_runtime} is for open_clip's models, not for the teacher "
            f"{config.model!r}: leave it out"
        )


def _load_teacher(config: ExtractConfig, cached: TeacherIdentity | None = None) -> Teacher:
    """cached: the identity of the cache's teacher; its preprocessing need not be given again."""
    loader, options, places = (
        loader_of(config.model),
        teacher_options(config, cached),
        teacher_places(config.device, config.teacher_processes),
    )
    if len(places) == 1:
        teacher: Teacher = loader.load(replace(options, device=places[0]))
    else:
        teacher = start_group(config.teacher_module, options, places, config.most_images)
    name = teacher.identity.name
    if loader_of(name) is not loader:
        raise ModelOptionError(
            f"the teacher loaded for {config.model!r} has the name {name!r}, under which it is not registered: later "
            "commands could not load it again"
        )
    if config.weights in SHIPPED_WEIGHTS.values() and (config.data_dir or config.manifest) and not config.use_synthetic:
        log.warning(
            "DEMO TEACHER: it was trained on the twelve actions of the synthetic videos; do not use it for real ones"
        )
    if config.weights == "random":
        log.warning("RANDOM TEACHER: its weights are random, so results are meaningless; for test runs only")
    return teacher
