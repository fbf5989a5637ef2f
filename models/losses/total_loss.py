"""The training loss: the weighted sum of all registered terms. Works on tensors alone; imports no model."""

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from embedonce.models.losses.batch import WHOLE_STEP, StepShare, Targets
from embedonce.models.losses.registry import loss_terms
from embedonce.models.losses.term import LossSettings, LossTerm, Need

if TYPE_CHECKING:
    from embedonce.models.student_output import StudentOutput


def distillation_loss(
    output: "StudentOutput", targets: Targets, settings: LossSettings, share: StepShare = WHOLE_STEP
) -> dict[str, Tensor]:
    """Scalar tensors: "total", the weighted sum, and each term by its name, 0 for terms without a weight.

    share: this batch's share of its optimizer step. The losses of all batches of a step, in all processes, add up to
    the loss of one batch that holds all of their clips. ValueError if a term with a weight lacks its data.
    """
    zero = output.clip_embedding.sum() * 0.0
    losses = {}
    for term in loss_terms():
        is_used = bool(settings.weights[term.name])
        losses[term.name] = _share_of_step(term, output, targets, settings, share) if is_used else zero
    total = functools.reduce(torch.add, (settings.weights[name] * value for name, value in losses.items()))
    return {"total": total, **losses}


def _share_of_step(
    term: LossTerm, output: "StudentOutput", targets: Targets, settings: LossSettings, share: StepShare
) -> Tensor:
    """The mean of a term's means, each scaled by this batch's share of the step."""
    _check_data(term, output, targets)
    means = term.function(output, targets, settings)
    factors = [share[unit] / len(term.means) for unit in term.means]
    return functools.reduce(torch.add, (mean * factor for mean, factor in zip(means, factors, strict=True)))


def _check_data(term: LossTerm, output: "StudentOutput", targets: Targets) -> None:
    name = f"the {term.name} term ({term.weight.flags[0]})"
    if Need.TEACHER_LOGITS in term.needs and targets.logits is None:
        raise ValueError(f"{name} needs teacher logits, and the batch has none")
    if Need.TEXTS in term.needs and targets.texts is None:
        raise ValueError(f"{name} needs vectors of texts, and the batch has none")
    if {Need.TEACHER_LOGITS, Need.LABELS} & set(term.needs) and not output.clip_logits.shape[-1]:
        raise ValueError(f"{name} needs class logits, and the student has no classes")
