"""One student in training: its weights, optimizer, moving average and best epoch."""

import contextlib
import math

import torch
from torch import Tensor, nn

from embedonce.models.device import autocast, precision, uncompiled
from embedonce.models.ema import ModelEma
from embedonce.models.losses.batch import Counts
from embedonce.models.losses.registry import loss_terms
from embedonce.models.losses.term import LossSettings
from embedonce.models.losses.total_loss import distillation_loss
from embedonce.models.student import VideoStudent
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.optimizers import new_optimizer
from embedonce.pipeline.training.recipe import lr_factor, optimizer_of
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.step_log import StepLog, norm_name

CLIP_NORM = 1.0
_STATEFUL = ("student", "optimizer", "schedule", "scaler")  # attributes with a state_dict of their own
_PLAIN = ("epochs_since_best", "history")


class StudentRun:
    """A student with everything its training needs besides data.

    steps: number of optimizer steps of the whole run.
    """

    def __init__(self, student: VideoStudent, config: TrainConfig, settings: LossSettings, world: World, steps: int):
        self.student, self.settings, self._config, self._world = student, settings, config, world
        self.device = next(student.parameters()).device
        world.broadcast_weights(student)
        self.optimizer = new_optimizer(student, optimizer_of(config, student.config.size), is_fused(self.device))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: lr_factor(step, steps))
        is_half = config.amp and precision(self.device) == "float16"
        self.scaler = torch.amp.GradScaler(enabled=is_half)
        self.average = ModelEma(student, config.ema) if config.ema else None
        if config.compile:  # only the expensive part; what comes after it branches on masks
            student.backbone.compile()
        self.best = (-math.inf, -math.inf)
        self.epochs_since_best = 0
        self.history: list[dict] = []
        self._log = StepLog()

    def check_losses(self) -> None:
        """PipelineError if a loss of the batches so far is not finite. Waits for the device."""
        self._log.read()
        if self._log.problem:
            raise self.non_finite_error("loss", self._log.problem)

    @property
    def sums(self) -> dict[str, float]:
        """Sums of this epoch so far, in this process, for its log. Checks losses: no state is saved without that."""
        self.check_losses()
        return self._log.sums

    @sums.setter
    def sums(self, values: dict[str, float]) -> None:
        self._log = StepLog()
        self._log.sums |= values

    @property
    def eval_model(self) -> VideoStudent:
        """The student that is evaluated and kept: the moving average if there is one, else the trained weights."""
        return self.average.student if self.average else self.student

    def train_mode(self) -> None:
        self.student.train()

    def step(
        self, batch: ClipBatch, step_counts: Counts | None = None, is_last: bool = True, measured: int = 0
    ) -> None:
        """Accumulate the gradient of a batch on this device; take the optimizer step if it is the last batch of it.

        step_counts: counts of the whole optimizer step, over all batches and processes; None: this batch is all of it.
        measured: number of batches this one represents in the logged gradient shares; 0: its terms are not measured.
        """
        targets = batch.targets
        counts = Counts.of(targets)
        whole = step_counts or counts
        # a compiled student frees its buffers at the first backward pass, and measuring needs one for each term
        with uncompiled() if measured else contextlib.nullcontext(), self._precision():
            output = self.student(*batch.inputs, targets.rows.frames)
        losses = distillation_loss(output, targets, self.settings, counts.share_of(whole))
        norms = gradient_norms(losses, self.settings, self.student) if measured else {}
        self._log.add(self.schedule.last_epoch + 1, losses, whole, norms, measured)
        if self._log.num_unread >= batches_per_check(self.device):
            self.check_losses()
        self.scaler.scale(losses["total"]).backward()
        if is_last:
            self._optimizer_step()

    def _precision(self):
        return autocast(self.device) if self._config.amp else contextlib.nullcontext()

    def _optimizer_step(self) -> None:
        """Update the weights from the accumulated gradients of all processes."""
        self._world.sync_gradients(self.student)
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.student.parameters(), CLIP_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.student)

    def close_epoch(self, epoch: int, sums: dict[str, float], counts: Counts) -> dict:
        """The epoch's training log: learning rate, weighted total, mean of each term, each term's gradient share.

        sums: of all processes. counts: of the epoch. Resets this run's sums.
        """
        means = {term.name: sums[term.name] / max(1, counts[term.logged_over]) for term in loss_terms()}
        entry = {"epoch": epoch, "lr": self.schedule.get_last_lr()[0]}
        entry |= {"total": sum(self.settings.weights[name] * value for name, value in means.items())} | means
        entry |= {f"gradient_share_{name}": share for name, share in gradient_shares(sums).items()}
        self._log = StepLog()
        return entry

    def take_score(self, entry: dict, score: tuple[float, float]) -> bool:
        """Add an epoch to the history; returns whether it is the best so far."""
        self.history.append(entry)
        is_best = score > self.best
        self.best = max(score, self.best)
        self.epochs_since_best = 0 if is_best else self.epochs_since_best + 1
        return is_best

    def non_finite_error(self, what: str, where: str) -> PipelineError:
        """The error for a loss or output that is NaN or infinite."""
        return PipelineError(
            f"the {what} of student {self.student.config.size} is NaN or infinite ({where}); files saved so far are "
            "kept: lower --lr and start anew, with --overwrite or another --output-dir"
        )

    def state_dict(self) -> dict:
        """Everything that the run continues from, except `sums`, which differ between processes."""
        parts = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        parts["optimizer"] = with_fused(parts["optimizer"], None)  # a run may be continued on another device
        plain = {name: getattr(self, name) for name in _PLAIN}
        average = self.average.state_dict() if self.average else None
        return parts | plain | {"best": list(self.best), "average": average}

    def load_state_dict(self, state: dict) -> None:
        state = state | {"optimizer": with_fused(state["optimizer"], is_fused(self.device))}
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        for name in _PLAIN:
            setattr(self, name, state[name])
        self.best = tuple(state["best"])
        if self.average:
            self.average.load_state_dict(state["average"])


def batches_per_check(device: torch.device) -> int:
    """After how many batches losses are checked within an epoch: at once where that costs nothing."""
    return 1 if device.type == "cpu" else 50


def is_fused(device: torch.device) -> bool | None:
    """Whether the optimizer updates all weights in one kernel, which never waits for the device; None: as usual."""
    return True if device.type == "cuda" else None


def with_fused(optimizer: dict, fused: bool | None) -> dict:
    """An optimizer's state with this choice in place of its own."""
    return optimizer | {"param_groups": [group | {"fused": fused} for group in optimizer["param_groups"]]}


def gradient_norms(losses: dict[str, Tensor], settings: LossSettings, student: nn.Module) -> dict[str, Tensor]:
    """The norm of the gradient of each term that has a weight, scalars. Keeps the graph and accumulated gradients."""
    parameters = [p for p in student.parameters() if p.requires_grad]
    norms = {}
    for name, weight in settings.weights.items():
        if weight:
            gradients = torch.autograd.grad(weight * losses[name], parameters, retain_graph=True, allow_unused=True)
            squares = [g.float().square().sum() for g in gradients if g is not None]
            norms[name] = torch.stack(squares).sum().sqrt() if squares else losses[name].new_zeros(())
    return norms


def gradient_shares(sums: dict[str, float]) -> dict[str, float]:
    """Each term's gradient norm divided by the sum of all terms' norms; 0 if nothing was measured."""
    norms = {term.name: sums[norm_name(term.name)] for term in loss_terms()}
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}
