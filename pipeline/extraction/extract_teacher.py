"""The whole of stage one as one call: sources and a teacher by name in, a labeled cache out.

The only place where the pipeline meets the CLIP teacher; stage two and evaluation never come here.
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
from embedonce.pipeline.extraction.dry_run import plan_in_words, teacher_seconds
from embedonce.pipeline.extraction.identity import check_teacher_name
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.summary import ExtractResult
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
from embedonce.pipeline.sources.data_summary import summarize
from embedonce.pipeline.sources.matching import CachedVideos, match_sources
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import Source, union

log = logging.getLogger(__name__)


_RESHAPED = "reshaped: {} videos change the shape of their picture; times of another shape than the first are left out"


@dataclass(frozen=True)
class StageOneResult:
    """The account of the extraction, and the label sets it ends with."""

    extraction: ExtractResult
    label_sets: tuple[LabelSet, ...]
    with_frames: tuple[int, ...]  # clips of each label set that have a frame
    manifest: dict
    next_line: str

    def summary(self, config: ExtractConfig) -> str:
        """What a user reads at the end: the account, every quarantined video, what is in the cache, what comes next."""
        account, manifest = self.extraction, self.manifest
        lines = [
            account.line,
            *(f"quarantined {source}: {reason}" for source, reason in account.quarantined.items()),
            "requested times: " + ", ".join(f"{count} {status}" for status, count in account.statuses.items()),
            *([f"partial: {account.partial} videos end before their header says"] if account.partial else []),
            *([_RESHAPED.format(account.reshaped)] if account.reshaped else []),
            f"cache {config.cache_dir} ({config.backend}): {manifest['num_rows']} frames in {len(manifest['shards'])} "
            f"shards, {manifest['num_bytes'] / 1e6:.1f} MB",
            *(in_words(*pair) for pair in zip(self.label_sets, self.with_frames, strict=True)),
        ]
        if config.weights == "random":
            lines.append("random teacher: this exercises the machinery")
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


def run(config: ExtractConfig) -> StageOneResult:
    """Do all that extract-teacher does."""
    if config.teacher_activation is not None:
        check_options(config.model, config.weights, config.teacher_activation)
    sources = match_sources(find_sources(config), CachedVideos.of_folder(config.cache_dir))
    source = union(sources)
    for line in summarize(sources).lines:
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
    return StageOneResult(result, label_sets, with_frames, manifest, following)


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
    """Do all that relabel does."""
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
    """The plan of extract-teacher in a few lines."""
    check_options(config.model, config.weights, config.teacher_activation)
    check_teacher_name(config)
    return plan_in_words(config, find_sources(config), teacher_seconds)


def check_options(model: str, weights: str, activation: str | None) -> None:
    """ModelOptionError where these do not go together; no weights are loaded."""
    from embedonce.models.teachers.weights import check_options

    check_options(model, weights, activation)


def find_sources(config: ExtractConfig) -> dict[str, Source]:
    """The sources that the settings name, by kind of annotation."""
    cached_uids = open_reader(config.cache_dir).planned_uids() if has_cache(config.cache_dir) else ()
    return open_sources(config.data_dir, config, cached_uids=cached_uids, cache_dir=config.cache_dir)


def _load_teacher(config: ExtractConfig, cached: TeacherIdentity | None = None) -> LoadedTeacher:
    """cached: who made the cache, where that is known: its preprocessing need not be said again."""
    from embedonce.models.device import choose_device
    from embedonce.models.teachers.open_clip import load_teacher

    device = choose_device(config.device)
    known = cached and Preprocessing(cached.mean, cached.std, cached.interpolation, cached.resize_mode)
    said = config.teacher_activation, device, config.seed, config.teacher_preprocess
    clip = load_teacher(config.model, config.weights, *said, known)
    if config.weights in SHIPPED_WEIGHTS.values() and config.data_dir and not config.use_synthetic:
        log.warning("DEMO TEACHER: it knows the twelve actions of the synthetic videos and nothing of real ones")
    if config.weights == "random":
        log.warning("RANDOM TEACHER: its weights are seeded noise. This exercises the machinery and means nothing else")
    return LoadedTeacher(clip)
