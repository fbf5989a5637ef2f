"""The recipe of a training run: which clips, which terms, which schedule, and what makes an epoch better.

Pure choices; runs no step and saves nothing.
"""

import dataclasses
import hashlib
import logging
import math

from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.models.backbones import has_pretrained
from embedonce.models.losses import LossWeights
from embedonce.models.student import VideoStudent
from embedonce.pipeline.clips.dataset import ClipDataset, ClipSampling
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.splits.class_coverage import missing_classes, selection_of
from embedonce.pipeline.training.settings import TrainConfig

log = logging.getLogger(__name__)

WARMUP_SHARE = 0.05  # of all steps
# Where things are and how fast they go; what a cache is, is said by its identity, not by its path
FIELDS_THAT_MAY_DIFFER = (
    *("cache_dir", "output_dir", "num_workers", "device", "overwrite", "compile", "checkpoint_steps", "tensorboard"),
)


def run_fields(
    config: TrainConfig,
    identity: CacheIdentity,
    labels: LabelSet,
    data: tuple[ClipDataset, ClipDataset],
    num_processes: int,
) -> dict:
    """Everything that makes a training run the run it is, flat: a run is continued only where all of it is equal.

    data: training and selection clips. Which of them stand in which shard is a part of it, as the order of training
    goes by that; the number of processes, as each has its own part of every batch.
    """
    fields = {name: value for name, value in config.as_dict().items() if name not in FIELDS_THAT_MAY_DIFFER}
    cache = dataclasses.asdict(identity)
    cache |= {f"teacher {name}": value for name, value in cache.pop("teacher").items()}
    told = {f"cache's {name}": value for name, value in cache.items()}
    train, selection = data
    told |= {"clips": len(train), "SHA-256 of clips, labels and shards": fingerprint(train, selection)}
    return fields | {"label_set": labels.name, "classes": list(labels.classes), "processes": num_processes} | told


def fingerprint(*datasets: ClipDataset) -> str:
    """A digest of what is learnt from and in which order: clips, their labels, their frames, the shard of each."""
    digest = hashlib.sha256()
    for data in datasets:
        for line in data.described_clips():
            digest.update(f"{line}\n".encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]


def random_seed(*place: int) -> int:
    """A seed for torch's generators that differs from place to place in a run: no generator has a state to save."""
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:8], "big") >> 1


def active_weights(config: TrainConfig, labels: LabelSet) -> LossWeights:
    """The weights of the loss. InputError where a term has a weight and this label set has no data for it."""
    labeled = any(clip.label >= 0 for clip in labels.clips if clip.split == "train")
    needed = [
        ("response", "--beta", config.beta, "soft logits", labels.has_logits),
        ("task", "--gamma", config.gamma, "labels of training clips", labeled),
    ]
    lacking = [(term, option, data) for term, option, weight, data, there in needed if weight and not there]
    if lacking:
        why = " and ".join(f"no {data} for the {term} term" for term, _, data in lacking)
        without = " ".join(f"{option} 0" for _, option, _ in lacking)
        raise InputError(f"label set {labels.name!r} has {why}; train without it: {without}")
    return LossWeights(config.alpha, config.beta, config.gamma, config.temperature)


def pretrained(config: TrainConfig, size: str) -> bool:
    """Whether a student starts from ImageNet weights: as asked, else where there are any."""
    return has_pretrained(size) if config.student_pretrained is None else config.student_pretrained


def datasets(config: TrainConfig, reader: CacheReader, labels: LabelSet) -> tuple[ClipDataset, ClipDataset]:
    """(training clips, selection clips): a tenth of the training videos is kept for selection, of all classes."""
    clips = [clip for clip in labels.clips if clip.split == "train"]
    kept = selection_of(reader, clips)
    there = reader.identity.num_views
    if config.views is not None and config.views > there:
        raise InputError(f"--views {config.views}: {config.cache_dir} has {there} stored views besides the first")
    sampling = ClipSampling(
        config.frames_per_clip, config.student_resolution, True, config.seed, config.jitter, config.views
    )
    still = dataclasses.replace(sampling, random=False)
    train_set = ClipDataset(reader, labels, [c for c in clips if c.video_uid not in kept], sampling)
    selection_set = ClipDataset(reader, labels, [c for c in clips if c.video_uid in kept], still)
    if empty := train_set.num_empty + selection_set.num_empty:
        log.warning("%d of %d training clips have no frame in the cache and are left out", empty, len(clips))
    if not len(train_set):
        raise InputError(
            f"label set {labels.name!r} of {config.cache_dir} has no training clip with a frame in the cache"
        )
    judged = [clip for clip in labels.clips if clip.split == "val" and reader.shows(clip)]
    parts = {"training": train_set.clips, "selection": selection_set.clips, "validation": judged}
    if told := missing_classes(labels, parts):
        log.warning("%s", told)
    if config.gamma and not (train_set.label_array >= 0).any():
        raise InputError(
            f"none of the {len(train_set)} clips of label set {labels.name!r} that are left for training has a label "
            "for the task term; train without it: --gamma 0"
        )
    return train_set, selection_set


def lr_factor(step: int, steps: int) -> float:
    """Linear warm-up over the first steps, then a cosine to 0."""
    warmup = max(1, round(steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def selection_score(found: Predictions, weights: LossWeights) -> tuple[float, float]:
    """What makes an epoch better: top-1 where the task is trained on labels, then cosine with the teacher."""
    top1 = found.top1 if weights.gamma and found.top1 is not None else 0.0
    return top1, found.cosine


def parameter_groups(student: VideoStudent, weight_decay: float) -> list[dict]:
    """Weight decay on matrices and kernels only, as is usual: not on biases, norms and the CLS token."""
    parameters = list(student.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
