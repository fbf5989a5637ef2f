"""One training run of the ablation: the product's losses and students, on clips held in memory."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.nn import functional

from benchmarks.ablation_clips import Clips
from embedonce.cache.heads import logits_from
from embedonce.models.losses.registry import loss_settings, loss_terms
from embedonce.models.losses.term import Need
from embedonce.models.names import ATTENTION
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.sampling import choose_frames, epoch_order
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.training.distributed import World, global_batches
from embedonce.pipeline.training.recipe import loss_settings_for
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import StudentRun, gradient_shares

INT8_BLOCK = 32


@dataclass(frozen=True)
class Condition:
    """What runs differ in.

    views: random ones, from the first step on; None: as many as the setting says. weights: of loss terms, by option;
    others are those of the setting, then the defaults. labels: share of training videos whose labels are kept.
    pooling, time_shift: as the options of train-student. blocks: embeddings rounded to int8 blocks. teacher: "cached";
    "live", run in every step on the stored views; "fresh", run in every step on a new random crop.
    """

    name: str
    views: int | None = None
    weights: dict[str, float] = field(default_factory=dict)
    temperature: float = 4.0
    projection: str = "linear"
    labels: float = 1.0
    pooling: str = ATTENTION
    time_shift: float = 0.0
    blocks: bool = False
    teacher: str = "cached"


def train_once(train: Clips, held_out: Clips, condition: Condition, seed: int) -> dict:
    """Train one student and evaluate it; per-clip results as lists."""
    setting = train.setting
    source = Source(train, condition, seed)
    planned = [source.planned(epoch, setting.batch_size) for epoch in range(setting.epochs)]
    run = student_run(train, condition, seed, sum(map(len, planned)))
    for epoch, batches in enumerate(planned):
        run.train_mode()
        for number, indexes in enumerate(batches):
            run.step(ClipBatch.from_items(source.batch(indexes, epoch)), measured=int(number % 16 == 0))
    return evaluate(held_out, run.eval_model) | {"shares": gradient_shares(run.sums)}


def student_run(train: Clips, condition: Condition, seed: int, steps: int) -> StudentRun:
    """A new student in training. steps: optimizer steps of the whole run."""
    setting = train.setting
    values = {
        "cache_dir": setting.cache_dir,
        "output_dir": setting.work_dir,
        "epochs": setting.epochs,
        "batch_size": setting.batch_size,
        "lr": setting.lr,
        "seed": seed,
        "temperature": condition.temperature,
        "projection": condition.projection,
    }
    config = TrainConfig.from_options(values | setting.weights | condition.weights)
    torch.manual_seed(seed)
    shape = (train.embeddings.shape[-1], len(train.labels.classes), setting.resolution)
    architecture = student_config(setting.size, *shape, condition.projection, condition.pooling)
    student = build_student(architecture, pretrained=False).to(train.device)
    return StudentRun(student, config, loss_settings_for(config, train.labels), World(), steps)


@torch.inference_mode()
def evaluate(held_out: Clips, student) -> dict[str, list]:
    """For each clip: whether the student is right, whether it agrees with the teacher, and the cosine similarity."""
    student.eval()
    gathered: dict[str, list] = {"right": [], "agrees": [], "cosine": []}
    for start in range(0, len(held_out.dataset), 64):
        batch = held_out.batch(list(range(start, min(start + 64, len(held_out.dataset)))), 0, 0, 0)
        output = student(batch["frames"], batch["t_rel_sec"], batch["mask"])
        mask = batch["mask"].cpu().numpy()
        teacher = accuracy.clip_logits(batch["logits"].cpu().numpy(), mask).argmax(1)
        embeddings = accuracy.clip_embeddings(batch["embeddings"].cpu().numpy(), mask)
        predicted = output.clip_logits.argmax(1).cpu().numpy()
        gathered["right"] += (predicted == batch["label"].cpu().numpy()).tolist()
        gathered["agrees"] += (predicted == teacher).tolist()
        gathered["cosine"] += (output.clip_embedding.float().cpu().numpy() * embeddings).sum(1).round(5).tolist()
    return gathered


class Source:
    """Batches under a condition: with fewer labels, embeddings rounded to int8, or a teacher run in the loop."""

    def __init__(self, clips: Clips, condition: Condition, seed: int):
        self.clips, self.condition, self.seed = clips, condition, seed
        videos = sorted({clip.video_uid for clip in clips.dataset.clips})
        kept = set(videos[: max(1, round(condition.labels * len(videos)))])
        self.is_labeled = np.array([clip.video_uid in kept for clip in clips.dataset.clips])
        self.teacher = _teacher(clips) if condition.teacher != "cached" else None
        self.canonical = _canonical(clips) if condition.teacher == "fresh" else None

    def planned(self, epoch: int, batch_size: int) -> list[list[int]]:
        """An epoch's batches of indexes. If only labels train, unlabeled clips are skipped and the others repeated."""
        order = epoch_order(self.clips.dataset.shard_of_clip, self.seed, epoch)
        if self._trains_on_labels_alone():
            order = [i for i in order if self.is_labeled[i]] * round(1 / self.condition.labels)
        return global_batches(list(map(int, order)), batch_size, 1)

    def _trains_on_labels_alone(self) -> bool:
        weights = loss_settings(**self.clips.setting.weights | self.condition.weights).weights
        return all(Need.LABELS in term.needs for term in loss_terms() if weights[term.name])

    def batch(self, indexes: list[int], epoch: int) -> dict:
        """Collated items of a ClipDataset for these clips."""
        views = self.clips.setting.num_views if self.condition.views is None else self.condition.views
        batch = self.clips.batch(indexes, views, self.seed, epoch, self.condition.time_shift)
        hidden = torch.from_numpy(~self.is_labeled[indexes]).to(batch["label"].device)
        batch["label"] = batch["label"].masked_fill(hidden, -1)
        if self.canonical is not None:
            batch["frames"] = self._fresh(batch, indexes, epoch)
        if self.teacher is not None:
            self._embed(batch)
        if self.condition.blocks:
            batch["embeddings"] = _as_blocks(batch["embeddings"])
            text = torch.from_numpy(self.clips.head["class_text"]).to(batch["logits"].device)
            batch["logits"] = float(self.clips.head["logit_scale"][0]) * batch["embeddings"] @ text.T
        return batch

    def _embed(self, batch: dict) -> None:
        """Replace the stored embeddings and logits by those of the teacher for the batch's frames."""
        frames = batch["frames"].flatten(0, 1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        embeddings = self.teacher.embed(frames)
        shape = batch["mask"].shape
        logits = logits_from(self.clips.head, embeddings[:, None])[:, 0]
        for name, values in (("embeddings", embeddings), ("logits", logits)):
            batch[name] = torch.from_numpy(values).to(batch["mask"].device).unflatten(0, shape)

    def _fresh(self, batch: dict, indexes: list[int], epoch: int) -> torch.Tensor:
        """A new random crop for each clip, drawn like the stored views."""
        sampling = replace(self.clips.dataset.sampling, seed=self.seed, time_shift=self.condition.time_shift)
        frames = []
        for index in indexes:
            rows = choose_frames(self.clips.rows_of(index, sampling, epoch), sampling, epoch, index)
            crop = self._random_crop(self.canonical[torch.from_numpy(rows).to(self.canonical.device)], index, epoch)
            padding = crop.new_zeros(batch["mask"].shape[1] - len(crop), *crop.shape[1:])
            frames.append(torch.cat([crop, padding]).round().clamp(0, 255).to(torch.uint8))
        return torch.stack(frames)

    def _random_crop(self, images: torch.Tensor, index: int, epoch: int) -> torch.Tensor:
        """(T, 3, R, R) float: the same crop of all images (T, 3, H, W)."""
        identity, side = self.clips.reader.identity, self.clips.setting.resolution
        size, draw = tuple(images.shape[-2:]), 1 + epoch + 1000 * self.seed
        top, left, height, width, flags, _ = make_views(
            *(f"{index}", size, 1, draw, identity.teacher), smallest_area=identity.view_area
        )[1]
        crop = images[..., top : top + height, left : left + width].float()
        crop = functional.interpolate(crop, (side, side), mode="bicubic", antialias=True)
        return crop.flip(-1) if flags else crop


def _as_blocks(embeddings: torch.Tensor) -> torch.Tensor:
    """Embeddings rounded to int8 with one scale per block of INT8_BLOCK numbers."""
    blocks = embeddings.unflatten(-1, (-1, INT8_BLOCK))
    scale = blocks.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    return ((blocks / scale).round() * scale).flatten(-2)


def _teacher(clips: Clips):
    from embedonce.pipeline.extraction.teacher_loading import teacher_of

    return teacher_of(clips.reader, device=clips.setting.device, seed=0)


def _canonical(clips: Clips) -> torch.Tensor:
    """(N, 3, H, W) uint8: the stored frames, decoded. All must have one size."""
    images = [
        np.asarray(canonical_frame.decode_jpeg(clips.reader.frames(unit).jpeg(row))) for unit, row in clips.places
    ]
    return torch.from_numpy(np.stack(images)).to(clips.device).permute(0, 3, 1, 2)
