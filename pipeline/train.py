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
from pipeline.errors import InputError, PipelineError
from pipeline.inference import loader, predict
from pipeline.progress import Progress
from pipeline.recipe import active_weights, datasets, lr_factor, parameter_groups, selection_score
from pipeline.training_log import write_logs

log = logging.getLogger(__name__)

CLIP_NORM = 1.0
RUN_FIELDS_THAT_MAY_DIFFER = ("num_workers", "device", "overwrite")  # the others make it another run


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
        pretrained = config.student_pretrained and not (config.output_dir / "last_student.pt").exists()
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
            for batch in loader(self.train_set, order, self.config.batch_size, self.config.num_workers):
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
            raise PipelineError(
                f"the loss is not finite in epoch {self.epoch + 1}; lower --lr and run again "
                "(the last finished epoch is in last_student.pt)"
            )
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
            "run": self._run_fields(),
            "best": list(self.best),
            "history": json.dumps(self.history),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
        }

    def _run_fields(self) -> dict:
        fields = {k: v for k, v in self.config.as_dict().items() if k not in RUN_FIELDS_THAT_MAY_DIFFER}
        return fields | {"cache": self.identity.teacher.weights_sha256, "clips": len(self.train_set)}

    def earlier(self) -> dict | None:
        """The run that --output-dir holds, if it is this one. InputError where it is another."""
        path = self.config.output_dir / "last_student.pt"
        if self.config.overwrite or not path.exists():
            return None
        content = checkpoint.load(path)
        ours, theirs = self._run_fields(), content.get("run", {})
        differing = [f"{k}: {theirs.get(k)} -> {v}" for k, v in ours.items() if theirs.get(k) != v]
        if differing:
            raise InputError(
                f"{self.config.output_dir} holds another training run ({'; '.join(differing)}); choose another "
                "--output-dir, or --overwrite it"
            )
        return content

    def restore(self, content: dict) -> None:
        self.student.load_state_dict(content["model"])
        for name in ("optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(content[name])
        torch.set_rng_state(content["rng"])
        self.epoch, self.best, self.history = content["epoch"], tuple(content["best"]), json.loads(content["history"])
        if self.epoch < self.config.epochs:
            log.info("resuming after epoch %d of %d", self.epoch, self.config.epochs)

    def result(self, was_finished: bool) -> TrainResult:
        best_path = self.config.output_dir / "best_student.pt"
        best = checkpoint.load(best_path)
        chosen = best["selection"]
        found = ", ".join(
            f"{name.replace('_', ' ')} {chosen[name]:.3f}"
            for name in ("selection_top1", "selection_cosine")
            if chosen.get(name) is not None
        )
        already = "already trained: " if was_finished else ""
        summary = f"{already}best student of {self.epoch} epochs: epoch {best['epoch']}" + (
            f" ({found})" if found else ""
        )
        return TrainResult(best_path, f"{summary}\ncheckpoint: {best_path}", self.history)


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
