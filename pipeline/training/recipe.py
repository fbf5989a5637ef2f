"""The recipe of a training run: its clips, loss settings, learning-rate schedule, score and identity."""

import dataclasses
import hashlib
import logging
import math
from collections.abc import Iterable

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.clip_texts import NO_TEXT
from embedonce.cache.identity_document import identity_document, teacher_document
from embedonce.cache.labels import FITTED, ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.models.backbones import has_pretrained
from embedonce.models.losses.registry import loss_settings, loss_terms, uses
from embedonce.models.losses.term import LossSettings, Need
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.fingerprint import fingerprint
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.splits.class_coverage import missing_classes, selection_of
from embedonce.pipeline.training.optimizer_choice import OptimizerChoice, choose_optimizer
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.teacher_choice import check_embedded
from embedonce.pipeline.training.view_mixing import evaluation_epochs

log = logging.getLogger(__name__)

WARMUP_SHARE = 0.05  # of all steps
# Settings that only say where files are and how fast training is; the cache counts by its identity, not by its path
FIELDS_THAT_MAY_DIFFER = (
    *("cache_dir", "output_dir", "num_workers", "device", "overwrite", "compile", "checkpoint_steps", "tensorboard"),
    *("local_cache_dir", "local_cache_gb", "report_to", "preload"),
)


def run_fields(
    config: TrainConfig,
    identity: CacheIdentity,
    labels: LabelSet,
    data: tuple[ClipDataset, ClipDataset],
    num_processes: int,
) -> dict:
    """Everything that identifies a training run, flat: a run is continued only if all of it is equal.

    data: training and selection clips, and the teachers whose embeddings they have. The order of training depends on
    which clip is in which shard, so shards are part of the identity; so is the number of processes, as each computes
    its own shard of every batch.
    """
    fields = {name: value for name, value in config.as_dict().items() if name not in FIELDS_THAT_MAY_DIFFER}
    cache = identity_document(identity)
    cache |= {f"teacher {name}": value for name, value in cache.pop("teacher").items()}
    data_fields = {f"cache's {name}": value for name, value in cache.items()}
    train, selection = data
    data_fields |= _added_teachers(train)
    data_fields |= {"clips": len(train), "SHA-256 of clips, labels and shards": fingerprint(train, selection)}
    return (
        fields | {"label_set": labels.name, "classes": list(labels.classes), "processes": num_processes} | data_fields
    )


def _added_teachers(data: ClipDataset) -> dict[str, object]:
    """The identities of the added teachers that are learned from, flat."""
    names = [name for name in data.teachers.names if name != FIRST]
    documents = {name: teacher_document(data.teachers.identity(name)) for name in names}
    return {f"teacher {name}'s {field}": value for name in names for field, value in documents[name].items()}


def random_seed(*place: int) -> int:
    """A seed for torch derived from a place in the run, so that resuming needs no saved generator state."""
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:8], "big") >> 1


def loss_settings_for(config: TrainConfig, labels: LabelSet, reader: CacheReader | None = None) -> LossSettings:
    """The settings of the loss. InputError if a term has a weight and this label set lacks data that it needs.

    reader: of the cache, for text vectors; without one there are none.
    """
    settings = loss_settings(config.temperature, **config.loss_weights)
    used = [term for term in loss_terms() if settings.weights[term.name]]
    train_clips = [clip for clip in labels.clips if clip.split == "train"]
    available = {
        Need.TEACHER_LOGITS: labels.has_logits,
        Need.LABELS: any(clip.all_labels for clip in train_clips),
        Need.TEXTS: uses(settings, Need.TEXTS) and reader is not None and _has_texts(reader, labels.name, train_clips),
    }
    lacking = [(term, need) for term in used for need in term.needs if not available[need]]
    if lacking:
        why = " and ".join(f"no {need.value} for the {term.name} term" for term, need in lacking)
        without = " ".join(dict.fromkeys(f"{term.weight.flags[0]} 0" for term, _ in lacking))
        remedy = "make them with relabel --embed-texts, or " if any(n is Need.TEXTS for _, n in lacking) else ""
        raise InputError(f"label set {labels.name!r} has {why}; {remedy}train without it: {without}")
    if labels.multi_label:
        _refuse_balancing(config, labels)
    # heads are fitted to several labels as binary classifiers; zero-shot logits only rank classes
    return dataclasses.replace(settings, independent_classes=labels.multi_label and labels.kind == FITTED)


def _has_texts(reader: CacheReader, label_set: str, clips: list[ClipLabel]) -> bool:
    """Whether one of these clips has a text vector."""
    texts = reader.texts(label_set).read()
    return texts is not None and bool((texts.numbers(clips) != NO_TEXT).any())


def _refuse_balancing(config: TrainConfig, labels: LabelSet) -> None:
    """InputError if options that need one label per clip are set."""
    for option, value, usual in (
        ("--class-weights", config.class_weights, "none"),
        ("--sampler", config.sampler, "epoch"),
    ):
        if value != usual:
            raise InputError(
                f"{option} {value} needs one label per clip, and clips of label set {labels.name!r} have several; "
                f"train with {option} {usual}"
            )


def pretrained(config: TrainConfig, size: str) -> bool:
    """Whether a student starts from ImageNet weights: by --student-pretrained, else if such weights exist."""
    return has_pretrained(size) if config.student_pretrained is None else config.student_pretrained


def optimizer_of(config: TrainConfig, size: str) -> OptimizerChoice:
    """How a student is trained: by the options, else by whether it starts from scratch."""
    return choose_optimizer(config.optimizer, config.lr, config.weight_decay, pretrained(config, size))


def datasets(
    config: TrainConfig, reader: CacheReader, labels: LabelSet, teachers: tuple[str, ...] = (FIRST,)
) -> tuple[ClipDataset, ClipDataset]:
    """(training clips, selection clips): a tenth of the training videos, with clips of all classes, is for selection.

    With --no-selection, all are for training.
    teachers: whose embeddings they have. InputError if no clip, or no label that a term needs, is left for training, or
    if one of the teachers has not embedded all frames.
    """
    clips = [clip for clip in labels.clips if clip.split == "train"]
    kept = selection_of(reader, clips) if config.selection else frozenset()
    sampling = _sampling(config, reader)
    still = dataclasses.replace(sampling, random=False)
    with_texts = uses(loss_settings(**config.loss_weights), Need.TEXTS)
    if with_texts and teachers[0] != FIRST:
        raise InputError(
            f"the vectors of texts are in the space of the cache's teacher, and --teachers {config.teachers} trains a "
            f"student in that of {teachers[0]}: add {FIRST} to --teachers, or train with --text-weight 0"
        )
    train_clips = [clip for clip in clips if clip.video_uid not in kept]
    selection_clips = [clip for clip in clips if clip.video_uid in kept]
    train_set = ClipDataset(reader, labels, train_clips, sampling, with_texts, teachers)
    selection_set = ClipDataset(reader, labels, selection_clips, still, teachers=teachers)
    for data in (train_set, selection_set):
        check_embedded(data)
    if empty := train_set.num_empty + selection_set.num_empty:
        log.warning("%d of %d training clips have no frame in the cache and are left out", empty, len(clips))
    if not len(train_set):
        raise InputError(
            f"label set {labels.name!r} of {config.cache_dir} has no training clip with a frame in the cache"
        )
    validation = [clip for clip in labels.clips if clip.split == "val" and reader.shows(clip)]
    parts: dict[str, Iterable[ClipLabel]] = {
        "training": train_set.clips,
        "selection": selection_set.clips,
        "validation": validation,
    }
    if not config.selection:
        del parts["selection"]
    if warning := missing_classes(labels, parts):
        log.warning("%s", warning)
    _check_labels(config, train_set, labels)
    _note_texts(train_set)
    _note_shift(train_set)
    return train_set, selection_set


def _note_shift(train_set: ClipDataset) -> None:
    """Log how many windows --time-shift can move: none, if the cache has frames of the clips alone."""
    share = train_set.sampling.largest_shift
    if not share:
        return
    movable = train_set.num_movable
    if movable:
        log.info("--time-shift %g can move %d of %d training clips", share, movable, len(train_set))
    else:
        log.warning(
            "--time-shift %g has no effect: the cache has no frames just before and after the training clips", share
        )


def _note_texts(train_set: ClipDataset) -> None:
    """Log how many clips have text targets. InputError if they are wanted and no clip that is left has one."""
    texts = train_set.texts
    if texts is None:
        return
    count = int((texts.numbers != NO_TEXT).sum())
    if not count:
        raise InputError(
            f"none of the {len(train_set)} clips that are left for training has a text; train without the text term: "
            "--text-weight 0"
        )
    log.info("%d of %d training clips have a text, %d different ones", count, len(train_set), len(texts.texts))


def _sampling(config: TrainConfig, reader: CacheReader) -> ClipSampling:
    """How training frames are drawn. InputError if the cache has too few views."""
    stored = reader.identity.num_views
    if config.views is not None and config.views > stored:
        raise InputError(
            f"--views {config.views}: {config.cache_dir} has {stored} random view{'s' * (stored != 1)}; give at most "
            f"that, or store more in a new cache: extract-teacher --views {config.views}"
        )
    num_frames, side = config.frames_per_clip, config.student_resolution
    if num_frames is None or side is None:
        raise ValueError("frames_per_clip and student_resolution must be set; TrainConfig.for_device() fills them in")
    sampling = ClipSampling(num_frames, side, True, config.seed, config.jitter, config.views)
    share, first = config.evaluation_view_share or 0.0, evaluation_epochs(config)
    return dataclasses.replace(sampling, evaluation_epochs=first, evaluation_share=share, time_shift=config.time_shift)


def _check_labels(config: TrainConfig, train_set: ClipDataset, labels: LabelSet) -> None:
    """InputError if a term with a weight or the sampler needs labels and no training clip has one."""
    if train_set.labeled.any():
        return
    if config.sampler == "balanced":
        raise InputError(
            f"--sampler balanced needs labels, and none of the {len(train_set)} clips of label set {labels.name!r} "
            "that are left for training has one; train with --sampler epoch"
        )
    for term in loss_terms():
        if Need.LABELS in term.needs and config.loss_weights[term.weight.name]:
            raise InputError(
                f"none of the {len(train_set)} clips of label set {labels.name!r} that are left for training has a "
                f"label for the {term.name} term; train without it: {term.weight.flags[0]} 0"
            )


def lr_factor(step: int, steps: int) -> float:
    """Factor of the learning rate: linear warm-up, then a cosine decay to 0. step: from 0; steps: of the run."""
    warmup = max(1, round(steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))
