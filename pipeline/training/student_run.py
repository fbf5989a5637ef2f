"""One student in training: its weights, optimizer, average and best epoch, step by step.

Knows no cache and no files; several of these can be fed with the same batches.
"""

import contextlib
import math

import torch
from torch import Tensor, nn

from embedonce.models.device import autocast, precision, uncompiled
from embedonce.models.ema import ModelEma
from embedonce.models.losses import Counts, LossWeights, Targets, distillation_loss
from embedonce.models.student import VideoStudent
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.recipe import lr_factor, parameter_groups
from embedonce.pipeline.training.settings import TrainConfig

CLIP_NORM = 1.0
TERMS = ("feature", "response", "task")
_NO_SUMS = dict.fromkeys((*TERMS, *(f"norm_{name}" for name in TERMS)), 0.0)


class StudentRun:
    """A student with everything that its training needs besides data.

    steps: how many optimizer steps there are in all.
    """

    def __init__(self, student: VideoStudent, config: TrainConfig, weights: LossWeights, world: World, steps: int):
        self.student, self.weights, self._config, self._world = student, weights, config, world
        self.device = next(student.parameters()).device
        world.start_alike(student)
        self.optimizer = torch.optim.AdamW(parameter_groups(student, config.weight_decay), lr=config.lr)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: lr_factor(step, steps))
        is_half = config.amp and precision(self.device) == "float16"
        self.scaler = torch.amp.GradScaler(enabled=is_half)
        self.average = ModelEma(student, config.ema) if config.ema else None
        if config.compile:  # the part that costs; what comes after it branches on masks
            student.backbone.compile()
        self.best = (-math.inf, -math.inf)
        self.epochs_since_best = 0
        self.history: list[dict] = []
        self.sums = dict(_NO_SUMS)  # of this epoch so far, in this process

    @property
    def shares(self) -> dict[str, float]:
        """Each term's part of the gradient in the batches of this epoch that were measured here."""
        return shares_of(self.sums)

    @property
    def judged(self) -> VideoStudent:
        """The weights that are judged and kept: the average, where there is one."""
        return self.average.student if self.average else self.student

    def train_mode(self) -> None:
        self.student.train()

    def step(self, batch: dict, step_counts: Counts | None = None, is_last: bool = True, measured: int = 0) -> None:
        """Learn from a batch that is on the device already.

        step_counts: what the whole optimizer step holds, in all of its batches and processes; None: this batch alone.
        is_last: of the batches of that step. measured: for how many batches this one stands in what is logged of each
        term's gradient; 0: not measured.
        """
        targets = Targets(batch["embeddings"], batch.get("logits"), batch["label"], batch["mask"])
        counts = Counts.of(targets)
        whole = step_counts or counts
        # a compiled student frees at the first backward pass what those of the single terms would need
        with uncompiled() if measured else contextlib.nullcontext(), self._precision():
            output = self.student(batch["frames"], batch["t_rel_sec"], batch["mask"])
        losses = distillation_loss(output, targets, self.weights, counts.share_of(whole))
        if not torch.isfinite(losses["total"]):
            raise self.explosion("loss", f"step {self.schedule.last_epoch + 1} of the run")
        if measured:
            for name, norm in gradient_norms(losses, self.weights, self.student).items():
                self.sums[f"norm_{name}"] += measured * norm
        self.scaler.scale(losses["total"]).backward()
        if is_last:
            self._move()
        for name, count in zip(TERMS, (whole.clips, whole.clips, whole.labeled), strict=True):
            self.sums[name] += losses[name].item() * count

    def _precision(self):
        return autocast(self.device) if self._config.amp else contextlib.nullcontext()

    def _move(self) -> None:
        """The optimizer's step, once all gradients are there."""
        self._world.combine(self.student)
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.student.parameters(), CLIP_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.student)

    def close_epoch(self, epoch: int, sums: dict[str, float], counts: Counts) -> dict:
        """What is logged of an epoch's training: learning rate, mean losses, each term's share of the gradient.

        sums: those of all processes, added up. counts: of the epoch. The task's loss is a mean over labeled clips,
        the other two over all.
        """
        terms = {
            "feature": sums["feature"] / counts.clips,
            "response": sums["response"] / counts.clips,
            "task": sums["task"] / max(1, counts.labeled),
        }
        factors = _factors(self.weights)
        entry = {"epoch": epoch, "lr": self.schedule.get_last_lr()[0]}
        entry |= {"total": sum(factors[name] * value for name, value in terms.items())} | terms
        entry |= {f"gradient_share_{name}": share for name, share in shares_of(sums).items()}
        self.sums = dict(_NO_SUMS)
        return entry

    def take_score(self, entry: dict, score: tuple[float, float]) -> bool:
        """Add an epoch to the history; whether it is the best one so far."""
        self.history.append(entry)
        is_best = score > self.best
        self.best = max(score, self.best)
        self.epochs_since_best = 0 if is_best else self.epochs_since_best + 1
        return is_best

    def explosion(self, what: str, where: str) -> PipelineError:
        return PipelineError(
            f"the {what} of student {self.student.config.size} is not finite ({where}); what was saved before is kept: "
            "lower --lr and start anew, with --overwrite or another --output-dir"
        )

    def state_dict(self) -> dict:
        """All that the run continues from but `sums`, which each process has of its own."""
        parts = {name: getattr(self, name).state_dict() for name in ("student", "optimizer", "schedule", "scaler")}
        plain = {name: getattr(self, name) for name in ("epochs_since_best", "history")}
        average = self.average.state_dict() if self.average else None
        return parts | plain | {"best": list(self.best), "average": average}

    def load_state_dict(self, state: dict) -> None:
        for name in ("student", "optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        for name in ("epochs_since_best", "history"):
            setattr(self, name, state[name])
        self.best = tuple(state["best"])
        if self.average:
            self.average.load_state_dict(state["average"])


def gradient_norms(losses: dict[str, Tensor], weights: LossWeights, student: nn.Module) -> dict[str, float]:
    """The norm of each weighted term's gradient; leaves gradients as they are, and the graph for the step itself."""
    parameters = [p for p in student.parameters() if p.requires_grad]
    norms = {}
    for name, factor in _factors(weights).items():
        if not factor:
            norms[name] = 0.0
            continue
        gradients = torch.autograd.grad(factor * losses[name], parameters, retain_graph=True, allow_unused=True)
        squares = [g.float().square().sum() for g in gradients if g is not None]
        norms[name] = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    return norms


def shares_of(sums: dict[str, float]) -> dict[str, float]:
    """Each term's gradient norm over the sum of all terms' norms; 0 where nothing was measured."""
    norms = {name: sums[f"norm_{name}"] for name in TERMS}
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}


def _factors(weights: LossWeights) -> dict[str, float]:
    return dict(zip(TERMS, (weights.alpha, weights.beta, weights.gamma), strict=True))
