"""Stage two: a student trained from a cache. No teacher, no videos, no text tower comes near it.

Knows the order of things; losses, models, datasets and checkpoints live elsewhere.
"""

import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from cache import commit
from cache.labels import LabelSet
from cache.reader import CacheReader
from cache.store import open_reader
from models.device import autocast, choose_device, precision
from models.losses import LossWeights, Targets, distillation_loss
from models.mobilevit_student import build_student, count_parameters, student_config
from pipeline import checkpoint
from pipeline.config import TrainConfig
from pipeline.dataset import epoch_order
from pipeline.errors import PipelineError
from pipeline.inference import predict
from pipeline.loading import batches
from pipeline.progress import Progress
from pipeline.recipe import active_weights, datasets, lr_factor, parameter_groups, run_fields, selection_score
from pipeline.training_log import summary, write_logs

log = logging.getLogger(__name__)

CLIP_NORM = 1.0


@dataclass(frozen=True)
class TrainResult:
    """Where the best student is, and the run's story in a few lines."""

    best_path: Path
    summary: str
    history: list[dict]


def train(config: TrainConfig) -> TrainResult:
    """Train a student, or continue a run that was stopped. Writes best_student.pt, last_student.pt and the logs."""
    reader = open_reader(config.cache_dir)
    labels = reader.label_set(config.label_set)
    weights = active_weights(config, labels)
    device = choose_device(config.device)
    commit.check_writable(config.output_dir)
    torch.manual_seed(config.seed)
    run = _Run(config, reader, labels, weights, device)
    earlier = run.earlier()
    if earlier is not None:
        run.restore(earlier)
    if run.epoch < config.epochs:
        commit.make_folder(config.output_dir)
        commit.replace(config.output_dir / "train_config.yaml", config.as_yaml().encode())
        run.announce()
    while run.epoch < config.epochs:
        run.one_epoch()
    return run.result(was_finished=earlier is not None and earlier["epoch"] == config.epochs)


class _Run:
    """One training run: data, student, optimizer and where it stands."""

    def __init__(self, config: TrainConfig, reader: CacheReader, labels: LabelSet, weights: LossWeights, device):
        self.config, self.labels, self.weights, self.device = config, labels, weights, device
        self.identity = reader.identity
        self.train_set, self.selection_set = datasets(config, reader, labels)
        shape = (self.identity.teacher.embed_dim, len(labels.classes), config.student_resolution)
        self.run_fields = run_fields(config, self.identity, labels, len(self.train_set))
        pretrained = config.student_pretrained and not self._continues  # no download for weights that are replaced
        self.student = build_student(student_config(config.student_size, *shape), pretrained).to(device)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.student, config.weight_decay), lr=config.lr)
        steps = math.ceil(len(self.train_set) / config.batch_size) * config.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: lr_factor(step, steps))
        self.scaler = torch.amp.GradScaler(enabled=precision(device) == "float16")
        self.epoch, self.best, self.history = 0, (-math.inf, -math.inf), []

    def announce(self) -> None:
        parts = count_parameters(self.student)
        told = ", ".join(f"{name} {count:,}" for name, count in parts.items() if name != "deployed")
        log.info("student %s: %s parameters (%s)", self.config.student_size, f"{parts['deployed']:,}", told)
        log.info("%d training clips, %d for selection", len(self.train_set), len(self.selection_set))

    def one_epoch(self) -> None:
        started, loading = time.perf_counter(), 0.0
        self.train_set.epoch = self.epoch
        self.student.train()
        order = epoch_order(self.train_set.shard_of_clip, self.config.seed, self.epoch)
        sums: dict[str, float] = {}
        label = f"epoch {self.epoch + 1}/{self.config.epochs}"
        with Progress(len(order), label, "clips") as progress:
            waiting = time.perf_counter()
            for batch in batches(self.train_set, order, self.config.batch_size, self.config.num_workers):
                loading += time.perf_counter() - waiting
                for name, value in self._step(batch).items():
                    sums[name] = sums.get(name, 0.0) + value * len(batch["index"])
                progress.update(len(batch["index"]))
                waiting = time.perf_counter()
        self.epoch += 1
        losses = {name: total / len(order) for name, total in sums.items()}
        self._select(losses, {"seconds": time.perf_counter() - started, "seconds_waiting_for_data": loading})

    def _step(self, batch: dict) -> dict[str, float]:
        batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
        targets = Targets(batch["embeddings"], batch.get("logits"), batch["label"], batch["mask"])
        with autocast(self.device):
            output = self.student(batch["frames"], batch["t_rel_sec"], batch["mask"])
        losses = distillation_loss(output, targets, self.weights)
        if not torch.isfinite(losses["total"]):
            raise self._explosion("loss", f"{self.epoch + 1} (step {self.schedule.last_epoch + 1} of the run)")
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(losses["total"]).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.student.parameters(), CLIP_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return {name: value.item() for name, value in losses.items()}

    def _select(self, losses: dict, seconds: dict) -> None:
        """Judge the epoch on the selection clips, log it, and save."""
        entry = {"epoch": self.epoch, "lr": self.schedule.get_last_lr()[0], **losses, **seconds}
        score = (-losses["total"], 0.0)
        if len(self.selection_set):
            found = predict(
                self.student, self.selection_set, self.config.batch_size, self.config.num_workers, self.device
            )
            if not found.is_finite:  # a last step can ruin weights that no loss has seen yet
                raise self._explosion("student's answer", f"{self.epoch} (after its last step)")
            entry |= {"selection_top1": found.top1, "selection_cosine": found.cosine}
            score = selection_score(found, self.weights)
        self.history.append(entry)
        log.info("%s", "  ".join(f"{name} {_short(value)}" for name, value in entry.items() if value is not None))
        described = checkpoint.describe(self.student, self.labels, self.identity.teacher, self.config.frames_per_clip)
        state = {**described, "epoch": self.epoch, "selection": entry, "model": self.student.state_dict()}
        if score > self.best:
            self.best = score
            checkpoint.save(self.config.output_dir / "best_student.pt", state)
        checkpoint.save(self.config.output_dir / "last_student.pt", state | self._progress_state())
        write_logs(self.config.output_dir, self.history)

    def _progress_state(self) -> dict:
        return {
            "run": self.run_fields,
            "best": list(self.best),
            "history": json.dumps(self.history),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
        }

    @property
    def _continues(self) -> bool:
        return not self.config.overwrite and (self.config.output_dir / "last_student.pt").exists()

    def _explosion(self, what: str, where: str) -> PipelineError:
        return PipelineError(
            f"the {what} is not finite in epoch {where}; nothing of that epoch was kept: lower --lr and start anew, "
            "with --overwrite or another --output-dir"
        )

    def earlier(self) -> dict | None:
        """The run that --output-dir holds, if it is this one. InputError where it is another."""
        return checkpoint.load_run(self.config.output_dir, self.run_fields) if self._continues else None

    def restore(self, content: dict) -> None:
        self.student.load_state_dict(content["model"])
        for name in ("optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(content[name])
        torch.set_rng_state(content["rng"])
        self.epoch, self.best, self.history = content["epoch"], tuple(content["best"]), json.loads(content["history"])
        write_logs(self.config.output_dir, self.history)  # a run may have been stopped between checkpoint and logs
        if self.epoch < self.config.epochs:
            log.info("resuming after epoch %d of %d", self.epoch, self.config.epochs)

    def result(self, was_finished: bool) -> TrainResult:
        best_path = self.config.output_dir / "best_student.pt"
        story = summary(checkpoint.load(best_path), self.epoch, was_finished)
        return TrainResult(best_path, f"{story}\ncheckpoint: {best_path}", self.history)


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
