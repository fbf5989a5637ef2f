"""The optimizer of a student: which parameters it updates how."""

import torch
from torch import nn

from embedonce.models.names import ADAMW
from embedonce.pipeline.training.muon import Muon, is_matrix
from embedonce.pipeline.training.optimizer_choice import OptimizerChoice


def new_optimizer(student: nn.Module, choice: OptimizerChoice, fused: bool | None = None) -> torch.optim.Optimizer:
    """The optimizer of a student. The learning rate of its first group is that of the choice.

    fused: AdamW in one kernel for all parameters; None: as torch finds best.
    """
    decayed, others = parameter_groups(student, choice.weight_decay)
    if choice.name == ADAMW:
        return torch.optim.AdamW([decayed, others], lr=choice.lr, fused=fused)
    matrices = [one for one in decayed["params"] if is_matrix(one)]
    kernels = [one for one in decayed["params"] if not is_matrix(one)]  # depthwise
    return Muon(
        [decayed | {"params": kernels}, others, decayed | {"params": matrices, "matrices": True}],
        lr=choice.lr,
        fused=fused,
    )


def parameter_groups(student: nn.Module, weight_decay: float) -> list[dict]:
    """Parameter groups of AdamW: weight decay on matrices and kernels, none on biases, norms and the CLS token."""
    parameters = list(student.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
