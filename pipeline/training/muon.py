"""Muon: momentum whose update of each weight matrix is made nearly orthogonal, with AdamW for all other parameters.

Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024. An orthogonal update changes all
directions of a matrix equally, also those in which gradients are small; from scratch a student so needs a fraction of
the steps (docs/distillation.md). torch.optim.Muon takes no convolutions, and it and timm's compute in bfloat16,
which few CPUs multiply fast.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan et al.: singular values end between about 0.7 and 1.2
MATRIX_LR = 10.0  # the learning rate of matrices, as a multiple of AdamW's; their updates have another scale
_SMALLEST_NORM = 1e-7


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon updates a parameter: a matrix or a kernel (O, I, H, W) that mixes channels.

    Depthwise kernels (O, 1, H, W), biases, norms and tokens are AdamW's.
    """
    return parameter.ndim > 1 and parameter.shape[0] > 1 and parameter.shape[1] > 1


class Muon(torch.optim.AdamW):
    """AdamW that updates the parameters of groups with `matrices: True` by Muon instead.

    Decoupled weight decay in both. Learning rates come from the groups, so a schedule drives both. Equal gradients
    give equal updates, so processes that have the same gradients stay the same.
    """

    def __init__(self, groups: Sequence[dict], lr: float, **options):
        super().__init__([{"matrices": False, **group} for group in groups], lr=lr, **options)
        # Gradients with an infinity are to skip the whole step: GradScaler decides, not the fused kernel of AdamW
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure=None):
        """One step. The gradients of matrices are used up: they are None afterwards."""
        assert closure is None  # it would have to be called before matrices are updated
        for group in self.param_groups:
            if group["matrices"]:
                self._step_matrices(group)
        return super().step(closure)  # passes over parameters without a gradient

    def _step_matrices(self, group: dict) -> None:
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[len(parameter), parameter[0].numel()].append(parameter)
        for (rows, columns), parameters in by_shape.items():
            updates = orthogonalized(torch.stack([self._momentum(one).reshape(rows, columns) for one in parameters]))
            size = MATRIX_LR * group["lr"] * max(1.0, rows / columns) ** 0.5
            for parameter, update in zip(parameters, updates, strict=True):
                parameter.mul_(1 - MATRIX_LR * group["lr"] * group["weight_decay"])
                parameter.sub_(update.reshape(parameter.shape), alpha=size)
                parameter.grad = None

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        """Add the gradient to the average of gradients; returns Nesterov's momentum."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum" not in state:
            # AdamW loads states with a number of steps only
            state |= {"momentum": torch.zeros_like(parameter), "step": torch.zeros(())}
        state["step"] += 1
        average = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(average, MOMENTUM)


def orthogonalized(matrices: Tensor) -> Tensor:
    """(N, R, C) float -> the same with singular values near 1: five steps of a Newton-Schulz iteration.

    A matrix of zeros stays zeros.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.mT if is_tall else matrices
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=_SMALLEST_NORM)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = found @ found.mT
        found = a * found + (b * square + c * square @ square) @ found
    return found.mT if is_tall else found
