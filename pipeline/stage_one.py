"""The whole of stage one as one call: a source and a teacher by name in, a labelled cache out.

The only place where the pipeline meets the CLIP teacher; stage two and evaluation never come here.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cache.errors import DamagedError
from cache.labels import LabelSet
from cache.schema import TeacherIdentity
from cache.store import check_identity, open_reader
from models.names import SHIPPED_WEIGHTS
from pipeline.account import ExtractResult
from pipeline.config import ExtractConfig
from pipeline.dry_run import plan_in_words, teacher_seconds
from pipeline.extract import extract
from pipeline.labelling import check_label_set, effective_head, write_labels, zero_shot_labels
from pipeline.probes import MIN_COSINE, choose_rows, cosines
from pipeline.sources import Source, keep_frequent_classes, open_source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageOneResult:
    """The account of the extraction, and the label set it ends with."""

    extraction: ExtractResult
    labels: LabelSet
    manifest: dict

    def summary(self, config: ExtractConfig) -> str:
        """What a user reads at the end: the account, every quarantined video, what is in the cache, what comes next."""
        account, manifest = self.extraction, self.manifest
        lines = [
            account.line,
            *(f"quarantined {source}: {reason}" for source, reason in account.quarantined.items()),
            "requested times: " + ", ".join(f"{count} {status}" for status, count in account.statuses.items()),
            *([f"partial: {account.partial} videos end before their header says"] if account.partial else []),
            f"cache {config.cache_dir} ({config.backend}): {manifest['num_rows']} frames in {len(manifest['shards'])} "
            f"shards, {manifest['num_bytes'] / 1e6:.1f} MB",
            f"label set {self.labels.name}: {len(self.labels.classes)} classes, {len(self.labels.clips)} clips",
        ]
        if config.weights == "random":
            lines.append("random teacher: this exercises the machinery")
        text = "\n".join([*lines, f"next: python cli.py train-student --cache-dir {config.cache_dir}"])
        return text.encode("utf-8", "backslashreplace").decode()  # file names need not be valid UTF-8


class LoadedTeacher:
    """A CLIP teacher behind the cache's protocol: numpy in, numpy out."""

    def __init__(self, clip):
        self._clip = clip
        self.identity = TeacherIdentity(**clip.describe())

    def embed(self, crops: np.ndarray) -> np.ndarray:
        return self._clip.embed(crops)

    def class_text(self, prompts: list[list[str]]) -> tuple[np.ndarray, float]:
        return self._clip.class_text(prompts)

    def drop_text_tower(self) -> None:
        self._clip.drop_text_tower()

    def provenance(self) -> dict:
        return {"device": str(self._clip.device), "precision": self._clip.precision}


def run(config: ExtractConfig) -> StageOneResult:
    """Do all that extract-teacher does."""
    source = find_source(config)
    for note in source.notes:
        log.info("%s", note)
    kind = effective_head(config.teacher_head, source)
    name = config.label_set or kind
    check_label_set(config.cache_dir, name, kind, source)
    zero_shot: list = []

    def load() -> LoadedTeacher:
        teacher = _load_teacher(config)
        if kind == "zero-shot":
            zero_shot.extend(zero_shot_labels(name, source, teacher))
        teacher.drop_text_tower()
        return teacher

    writer, _, result = extract(config, source, load)
    try:
        labels, tensors = zero_shot or (LabelSet(name, kind, source.classes, (), None, {}), None)
        labels = write_labels(writer, source, labels, tensors, config.seed)
        manifest = writer.write_manifest()
        labels = writer.reader().label_set(labels.name)
    except BaseException:
        log.warning("%s; the label set is not finished", result.line)
        raise
    finally:
        writer.close()
    return StageOneResult(result, labels, manifest)


def recomputed(cache_dir: Path, count: int, **teacher) -> np.ndarray:
    """(n, 1+K) cosines of random rows with what the teacher says now. IdentityMismatchError where it is another one.

    teacher: teacher_weights, teacher_model (None: those that the cache names), teacher_activation, device, seed.
    """
    reader = open_reader(cache_dir)
    asked = {name: value for name, value in teacher.items() if value is not None}
    known = {"teacher_model": reader.identity.teacher.name, "teacher_weights": reader.identity.teacher.weights}
    loaded = _load_teacher(ExtractConfig(None, False, cache_dir, **(known | asked)))
    check_identity(replace(reader.identity, teacher=loaded.identity), reader.identity, cache_dir)
    found = cosines(reader, loaded, choose_rows(reader, count, asked["seed"]))
    if found.size and not found.min() >= MIN_COSINE:
        raise DamagedError(f"a stored row has the cosine {found.min():.4f} with the teacher's answer now")
    return found


def dry_run(config: ExtractConfig) -> str:
    """The plan of extract-teacher in a few lines."""
    return plan_in_words(config, find_source(config), teacher_seconds)


def find_source(config: ExtractConfig) -> Source:
    """The source that the settings name, made first where it is the synthetic one."""
    if config.use_synthetic:
        root = _make_synthetic(config)
        return open_source(root, None)
    source = open_source(config.data_dir, config.classes)
    return source if config.num_actions is None else keep_frequent_classes(source, config.num_actions)


def _make_synthetic(config: ExtractConfig) -> Path:
    from pipeline import synthetic  # loads av and draws: only where it is asked for
    from pipeline.progress import Progress

    num_actions = config.num_actions or synthetic.MAX_ACTIONS
    folder = f"synthetic_ego4d_{config.num_samples}x{num_actions}_seed{config.seed}"
    root = config.data_dir or config.cache_dir.parent / folder
    with Progress(None, "making synthetic videos", "videos") as progress:
        return synthetic.make_synthetic(root, config.num_samples, num_actions, config.seed, progress)


def _load_teacher(config: ExtractConfig) -> LoadedTeacher:
    from models.clip_teacher import load_teacher
    from models.device import choose_device

    device = choose_device(config.device)
    clip = load_teacher(config.model, config.weights, config.teacher_activation, device, config.seed)
    if config.weights in SHIPPED_WEIGHTS.values() and config.data_dir and not config.use_synthetic:
        log.warning("DEMO TEACHER: it knows the twelve actions of the synthetic videos and nothing of real ones")
    if config.weights == "random":
        log.warning("RANDOM TEACHER: its weights are seeded noise. This exercises the machinery and means nothing else")
    return LoadedTeacher(clip)
