"""extract-teacher as one call: from the names of sources and a teacher to a labeled cache.

The only module that loads the CLIP teacher; training and evaluation never import it.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from embedonce.cache.errors import DamagedError
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity
from embedonce.cache.store import check_identity, has_cache, open_reader
from embedonce.models.names import SHIPPED_WEIGHTS
from embedonce.models.preprocessing import Preprocessing
from embedonce.pipeline.console.next_commands import train_line
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.extraction.dry_run import format_dry_run, teacher_seconds
from embedonce.pipeline.extraction.identity import check_teacher_name
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.summary import ExtractionSummary
from embedonce.pipeline.extraction.teacher_check import MIN_COSINE, choose_rows, cosines
from embedonce.pipeline.labeling import relabel as relabeling
from embedonce.pipeline.labeling.label_sets import (
    Labeling,
    asked_labels,
    check_label_sets,
    count_with_frames,
    in_words,
    refuse_lost_classes,
    with_class_text,
    write_labels,
)
from embedonce.pipeline.labeling.relabel import Relabeled
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.sources.data_summary import data_lines
from embedonce.pipeline.sources.matching import known_in, match_sources
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import Source, keep_frequent, union

log = logging.getLogger(__name__)


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
            counts.line,
            *(f"quarantined {source}: {reason}" for source, reason in counts.quarantined.items()),
            "requested times: " + ", ".join(f"{count} {status}" for status, count in counts.statuses.items()),
            *([f"partial: {counts.partial} videos end earlier than their headers indicate"] if counts.partial else []),
            *([_RESHAPED.format(counts.reshaped)] if counts.reshaped else []),
            f"cache {config.cache_dir} ({config.backend}): {manifest['num_rows']} frames in {len(manifest['shards'])} "
            f"shards, {manifest['num_bytes'] / 1e6:.1f} MB",
            *(in_words(*pair) for pair in zip(self.label_sets, self.with_frames, strict=True)),
        ]
        if config.weights == "random":
            lines.append("random teacher: its embeddings carry no meaning; use them to test the software only")
        return block([*lines, self.next_line])


class LoadedTeacher:
    """A CLIP teacher behind the cache's protocol: numpy in, numpy out."""

    def __init__(self, clip):
        self._clip = clip
        self.identity = TeacherIdentity(**clip.describe())

    def embed(self, crops: np.ndarray) -> np.ndarray:
        return self._clip.embed(crops)

    def class_text(self, prompts: list[list[str]]) -> tuple[np.ndarray, float]:
        cut = self._clip.cut_texts(prompts)
        if cut:
            log.warning("%d class texts are too long for the teacher and are cut, such as %r", len(cut), cut[0])
        return self._clip.class_text(prompts)

    def drop_text_tower(self) -> None:
        self._clip.drop_text_tower()

    def provenance(self) -> dict:
        return {"device": str(self._clip.device), "precision": self._clip.precision}


def run(config: ExtractConfig) -> ExtractTeacherResult:
    """Run extract-teacher."""
    if config.teacher_activation is not None:
        check_options(config.model, config.weights, config.teacher_activation)
    sources = match_sources(find_sources(config), known_in(config.cache_dir))
    source = union(sources)
    for line in data_lines(sources):
        log.info("%s", line)
    refuse_lost_classes(config, sources)
    asked = [
        asked_labels(one, kind, config.teacher_head, config.label_set, config.wording) for kind, one in sources.items()
    ]
    check_label_sets(config.cache_dir, asked)
    ready: list[Labeling] = []

    def load() -> LoadedTeacher:
        teacher = _load_teacher(config)
        ready.extend(with_class_text(labeling, teacher) for labeling in asked)
        teacher.drop_text_tower()
        return teacher

    writer, _, result = extract(config, source, load)
    try:
        for labeling in ready:
            write_labels(writer, labeling, config.seed)
        manifest = writer.write_manifest()
        reader = writer.reader()
        label_sets = tuple(reader.label_set(labeling.labels.name) for labeling in ready)
        with_frames = tuple(count_with_frames(reader, labels.clips) for labels in label_sets)
        following = train_line(reader, label_sets[0])
    except BaseException:
        log.warning("%s; the label sets are not finished", result.line)
        raise
    finally:
        writer.close()
    return ExtractTeacherResult(result, label_sets, with_frames, manifest, following)


def recomputed(cache_dir: Path, count: int, **teacher) -> np.ndarray:
    """(n, 1+K) cosines of random rows with what the teacher says now. IdentityMismatchError where it is another one.

    teacher: the options of teacher_of().
    """
    reader = open_reader(cache_dir)
    loaded = teacher_of(reader, **teacher)
    found = cosines(reader, loaded, choose_rows(reader, count, teacher["seed"]))
    if found.size and not found.min() >= MIN_COSINE:
        raise DamagedError(f"a stored row has the cosine {found.min():.4f} with the teacher's answer now")
    return found


def relabel(config: RelabelConfig) -> Relabeled:
    """Run relabel."""
    named = ("teacher_weights", "teacher_model", "teacher_activation", "teacher_preprocess", "device", "seed")
    options = {name: getattr(config, name) for name in named}
    return relabeling.relabel(config, lambda reader: teacher_of(reader, **options))


def teacher_of(reader: CacheReader, **options) -> LoadedTeacher:
    """The teacher that made a cache. IdentityMismatchError where it is another one.

    options: teacher_weights, teacher_model, teacher_preprocess (None: those that the cache names), teacher_activation,
    device, seed.
    """
    asked = {name: value for name, value in options.items() if value is not None}
    known = {"teacher_model": reader.identity.teacher.name, "teacher_weights": reader.identity.teacher.weights}
    loaded = _load_teacher(ExtractConfig(None, False, reader.directory, **(known | asked)), reader.identity.teacher)
    check_identity(replace(reader.identity, teacher=loaded.identity), reader.identity, reader.directory)
    return loaded


def dry_run(config: ExtractConfig) -> str:
    """Run extract-teacher --dry-run; returns its text."""
    check_options(config.model, config.weights, config.teacher_activation)
    check_teacher_name(config)
    return format_dry_run(config, find_sources(config), teacher_seconds)


def check_options(model: str, weights: str, activation: str | None) -> None:
    """ModelOptionError if these options contradict each other; no weights are loaded."""
    from embedonce.models.teachers.weights import check_options

    check_options(model, weights, activation)


def find_sources(config: ExtractConfig) -> dict[str, Source]:
    """The configured sources, by kind of annotation. Synthetic videos are generated first."""
    if config.use_synthetic:
        return open_sources(_make_synthetic(config), config.source_options)
    known = open_reader(config.cache_dir).planned_uids() if has_cache(config.cache_dir) else ()
    assert config.data_dir is not None, "the command requires --data-dir or --use-synthetic"
    sources = open_sources(config.data_dir, replace(config.source_options, known=known))
    return keep_frequent(sources, config.num_actions)


def _make_synthetic(config: ExtractConfig) -> Path:
    from embedonce.pipeline.progress import Progress
    from embedonce.pipeline.sources.synthetic import generate  # loads av and draws: only where it is asked for

    num_actions = config.num_actions or generate.MAX_ACTIONS
    folder = f"synthetic_ego4d_{config.num_samples}x{num_actions}_seed{config.seed}"
    root = config.data_dir or config.cache_dir.parent / folder
    with Progress(None, "making synthetic videos", "videos") as progress:
        return generate.make_synthetic(root, config.num_samples, num_actions, config.seed, progress)


def _load_teacher(config: ExtractConfig, cached: TeacherIdentity | None = None) -> LoadedTeacher:
    """cached: who made the cache, where that is known: its preprocessing need not be said again."""
    from embedonce.models.device import choose_device
    from embedonce.models.teachers.open_clip import load_teacher

    device = choose_device(config.device)
    known = Preprocessing(cached.mean, cached.std, cached.interpolation, cached.resize_mode) if cached else None
    said = config.teacher_activation, device, config.seed, config.teacher_preprocess
    clip = load_teacher(config.model, config.weights, *said, known)
    if config.weights in SHIPPED_WEIGHTS.values() and config.data_dir and not config.use_synthetic:
        log.warning("DEMO TEACHER: it knows the twelve actions of the synthetic videos and nothing of real ones")
    if config.weights == "random":
        log.warning("RANDOM TEACHER: its weights are seeded noise. This exercises the machinery and means nothing else")
    return LoadedTeacher(clip)
