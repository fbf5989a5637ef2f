"""One student in training: its weights, optimizer, average and best epoch, step by step.

Knows no cache and no files; several of these can be fed with the same batches.
"""

import math

import torch
from torch import Tensor, nn

from models.device import autocast, precision
from models.ema import WeightAverage
from models.losses import LossWeights, Targets, distillation_loss
from models.mobilevit_student import MobileVitStudent
from pipeline.config import TrainConfig
from pipeline.distributed import World
from pipeline.errors import PipelineError
from pipeline.recipe import lr_factor, parameter_groups

CLIP_NORM = 1.0
TERMS = ("feature", "response", "task")


class StudentRun:
    """A student with everything that its training needs besides data.

    steps: how many optimizer steps there are in all.
    """

    def __init__(self, student: MobileVitStudent, config: TrainConfig, weights: LossWeights, world: World, steps: int):
        self.student, self.weights, self._config = student, weights, config
        self.device = next(student.parameters()).device
        self._model = world.wrapped(student, self.device)
        if config.compile:
            self._model = torch.compile(self._model)
        self.optimizer = torch.optim.AdamW(parameter_groups(student, config.weight_decay), lr=config.lr)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: lr_factor(step, steps))
        is_half = config.amp and precision(self.device) == "float16"
        self.scaler = torch.amp.GradScaler(enabled=is_half)
        self.average = WeightAverage(student, config.ema) if config.ema else None
        self.best = (-math.inf, -math.inf)
        self.epochs_since_best = 0
        self.history: list[dict] = []
        self.sums: dict[str, float] = {}  # of this epoch's losses, weighted by clips
        self.shares: dict[str, float] = {}

    @property
    def judged(self) -> MobileVitStudent:
        """The weights that are judged and kept: the average, where there is one."""
        return self.average.student if self.average else self.student

    def train_mode(self) -> None:
        self._model.train()

    def step(self, batch: dict, share: float, is_last: bool, with_shares: bool = False) -> None:
        """Learn from a batch that is on the device already.

        share: what its gradient weighs in this step; is_last: of the batches of one optimizer step. with_shares: find
        out, too, what each term's part of the gradient is.
        """
        targets = Targets(batch["embeddings"], batch.get("logits"), batch["label"], batch["mask"])
        with autocast(self.device) if self._config.amp else torch.enable_grad():
            output = self._model(batch["frames"], batch["t_rel_sec"], batch["mask"])
        losses = distillation_loss(output, targets, self.weights)
        if not torch.isfinite(losses["total"]):
            raise self.explosion("loss", f"step {self.schedule.last_epoch + 1} of the run")
        if with_shares:
            self.shares = gradient_shares(losses, self.weights, self.student)
        self.scaler.scale(losses["total"] * share).backward()
        if is_last:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.student.parameters(), CLIP_NORM)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.schedule.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.average:
                self.average.update(self.student)
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item() * len(batch["index"])

    def close_epoch(self, epoch: int, sums: dict[str, float], num_clips: int) -> dict:
        """What is logged of an epoch's training: learning rate, mean losses, each term's share of the gradient.

        sums: of the losses over all clips, in whatever process.
        """
        entry = {"epoch": epoch, "lr": self.schedule.get_last_lr()[0]}
        entry |= {name: total / num_clips for name, total in sums.items()}
        entry |= {f"gradient_share_{name}": share for name, share in self.shares.items()}
        self.sums = {}
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
        parts = {name: getattr(self, name).state_dict() for name in ("student", "optimizer", "schedule", "scaler")}
        plain = {name: getattr(self, name) for name in ("epochs_since_best", "history", "sums", "shares")}
        average = self.average.state_dict() if self.average else None
        return parts | plain | {"best": list(self.best), "average": average}

    def load_state_dict(self, state: dict) -> None:
        for name in ("student", "optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        for name in ("epochs_since_best", "history", "sums", "shares"):
            setattr(self, name, state[name])
        self.best = tuple(state["best"])
        if self.average:
            self.average.load_state_dict(state["average"])


def gradient_shares(losses: dict[str, Tensor], weights: LossWeights, student: nn.Module) -> dict[str, float]:
    """Each weighted term's gradient norm over the sum of all terms' norms; leaves gradients as they are."""
    parameters = [p for p in student.parameters() if p.requires_grad]
    factors = dict(zip(TERMS, (weights.alpha, weights.beta, weights.gamma), strict=True))
    norms = {}
    for name, factor in factors.items():
        if not factor:
            norms[name] = 0.0
            continue
        gradients = torch.autograd.grad(factor * losses[name], parameters, retain_graph=True, allow_unused=True)
        squares = [g.float().square().sum() for g in gradients if g is not None]
        norms[name] = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}
