"""One training run of the ablation: the real losses and students, on clips in memory. Knows what runs may differ in."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from benchmarks.ablation_clips import Clips
from embedonce.cache.labels import logits_from
from embedonce.models.student import build_student, student_config
from embedonce.pipeline.clips.dataset import choose_frames, epoch_order
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.training.distributed import World, global_batches
from embedonce.pipeline.training.recipe import loss_settings_for
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import StudentRun

INT8_BLOCK = 32


@dataclass(frozen=True)
class Condition:
    """What a run differs in. labels: the share of training videos whose labels are kept. blocks: embeddings as int8.

    teacher: "cached"; "live", asked in every step about the stored views; "fresh", about a new crop in every step.
    """

    name: str
    views: int = 8
    alpha: float = 1.0
    beta: float | None = None  # the setting's
    gamma: float = 0.5
    temperature: float = 4.0
    projection: str = "mlp"
    labels: float = 1.0
    blocks: bool = False
    teacher: str = "cached"


def train_once(train: Clips, held_out: Clips, condition: Condition, seed: int) -> dict:
    """Train one student and judge it; per-clip answers as lists."""
    setting = train.setting
    source = Source(train, condition, seed)
    planned = [source.planned(epoch, setting.batch_size) for epoch in range(setting.epochs)]
    run = student_run(train, condition, seed, sum(map(len, planned)))
    for epoch, batches in enumerate(planned):
        run.train_mode()
        for number, indexes in enumerate(batches):
            run.step(source.batch(indexes, epoch), measured=int(number % 16 == 0))
    return judge(held_out, run.judged) | {"shares": run.shares}


def student_run(train: Clips, condition: Condition, seed: int, steps: int) -> StudentRun:
    """A student before its first step."""
    setting = train.setting
    config = TrainConfig(
        *(setting.cache_dir, setting.work_dir),
        **{"epochs": setting.epochs, "batch_size": setting.batch_size, "lr": setting.lr, "seed": seed},
        beta=setting.beta if condition.beta is None else condition.beta,
        **{name: getattr(condition, name) for name in ("alpha", "gamma", "temperature", "projection")},
    )
    torch.manual_seed(seed)
    shape = (train.embeddings.shape[-1], len(train.labels.classes), setting.resolution, condition.projection)
    student = build_student(student_config(setting.size, *shape), pretrained=False).to(train.device)
    return StudentRun(student, config, loss_settings_for(config, train.labels), World(), steps)


@torch.inference_mode()
def judge(held_out: Clips, student) -> dict:
    """Whether each clip is named rightly, as the teacher names it, and the cosine of its embedding."""
    student.eval()
    gathered = {"right": [], "agrees": [], "cosine": []}
    for start in range(0, len(held_out.dataset), 64):
        batch = held_out.batch(list(range(start, min(start + 64, len(held_out.dataset)))), 0, 0, 0)
        output = student(batch["frames"], batch["t_rel_sec"], batch["mask"])
        mask = batch["mask"].cpu().numpy()
        teacher = accuracy.clip_logits(batch["logits"].cpu().numpy(), mask).argmax(1)
        embeddings = accuracy.clip_embeddings(batch["embeddings"].cpu().numpy(), mask)
        answers = output.clip_logits.argmax(1).cpu().numpy()
        gathered["right"] += (answers == batch["label"].cpu().numpy()).tolist()
        gathered["agrees"] += (answers == teacher).tolist()
        gathered["cosine"] += (output.clip_embedding.float().cpu().numpy() * embeddings).sum(1).round(5).tolist()
    return gathered


class Source:
    """Batches of a condition: labels that are kept, embeddings as they are stored, or a teacher that is asked."""

    def __init__(self, clips: Clips, condition: Condition, seed: int):
        self.clips, self.condition, self.seed = clips, condition, seed
        videos = sorted({clip.video_uid for clip in clips.dataset.clips})
        kept = set(videos[: max(1, round(condition.labels * len(videos)))])
        self.is_labeled = np.array([clip.video_uid in kept for clip in clips.dataset.clips])
        self.teacher = _teacher(clips) if condition.teacher != "cached" else None
        self.canonical = _canonical(clips) if condition.teacher == "fresh" else None

    def planned(self, epoch: int, batch_size: int) -> list[list[int]]:
        """An epoch's batches; with labels alone, unlabeled clips are no part of it, and passes make up for them."""
        order = epoch_order(self.clips.dataset.shard_of_clip, self.seed, epoch)
        if not self.condition.alpha and self.condition.beta == 0:
            order = [i for i in order if self.is_labeled[i]] * round(1 / self.condition.labels)
        return global_batches(list(map(int, order)), batch_size, 1)

    def batch(self, indexes: list[int], epoch: int) -> dict:
        batch = self.clips.batch(indexes, self.condition.views, self.seed, epoch)
        hidden = torch.from_numpy(~self.is_labeled[indexes]).to(batch["label"].device)
        batch["label"] = batch["label"].masked_fill(hidden, -1)
        if self.canonical is not None:
            batch["frames"] = self._fresh(batch, indexes, epoch)
        if self.teacher is not None:
            self._ask(batch)
        if self.condition.blocks:
            batch["embeddings"] = _as_blocks(batch["embeddings"])
            text = torch.from_numpy(self.clips.head["class_text"]).to(batch["logits"].device)
            batch["logits"] = float(self.clips.head["logit_scale"][0]) * batch["embeddings"] @ text.T
        return batch

    def _ask(self, batch: dict) -> None:
        frames = batch["frames"].flatten(0, 1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        embeddings = self.teacher.embed(frames)
        shape = batch["mask"].shape
        logits = logits_from(self.clips.head, embeddings[:, None])[:, 0]
        for name, values in (("embeddings", embeddings), ("logits", logits)):
            batch[name] = torch.from_numpy(values).to(batch["mask"].device).unflatten(0, shape)

    def _fresh(self, batch: dict, indexes: list[int], epoch: int) -> torch.Tensor:
        """A new random crop for each clip, by the rule of the stored views."""
        teacher, side, frames = self.clips.reader.identity.teacher, self.clips.setting.resolution, []
        sampling = replace(self.clips.dataset.sampling, seed=self.seed)
        for index in indexes:
            rows = choose_frames(self.clips.rows_of[index], sampling, epoch, index)
            images = self.canonical[torch.from_numpy(rows).to(self.canonical.device)]
            size = tuple(images.shape[-2:])
            top, left, height, width, flags, _ = make_views(f"{index}", size, 1, 1 + epoch + 1000 * self.seed, teacher)[
                1
            ]
            crop = images[..., top : top + height, left : left + width].float()
            crop = functional.interpolate(crop, (side, side), mode="bicubic", antialias=True)
            crop = crop.flip(-1) if flags else crop
            padding = crop.new_zeros(batch["mask"].shape[1] - len(crop), *crop.shape[1:])
            frames.append(torch.cat([crop, padding]).round().clamp(0, 255).to(torch.uint8))
        return torch.stack(frames)


def _as_blocks(embeddings: torch.Tensor) -> torch.Tensor:
    """As they come back from int8 with one scale for each block of INT8_BLOCK numbers."""
    blocks = embeddings.unflatten(-1, (-1, INT8_BLOCK))
    scale = blocks.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    return ((blocks / scale).round() * scale).flatten(-2)


def _teacher(clips: Clips):
    from embedonce.pipeline.extraction.extract_teacher import teacher_of

    return teacher_of(clips.reader, device=clips.setting.device, seed=0)


def _canonical(clips: Clips) -> torch.Tensor:
    """(N, 3, H, W) uint8: the stored frames, decoded; all of one size."""
    images = [
        np.asarray(canonical_frame.decode_jpeg(clips.reader.frames(unit).jpeg(row))) for unit, row in clips.places
    ]
    return torch.from_numpy(np.stack(images)).to(clips.device).permute(0, 3, 1, 2)
