"""An exponential moving average (EMA) of a model's weights."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


class ModelEma(Generic[Model]):
    """Averages parameters as decay · average + (1 - decay) · weights; copies buffers such as running statistics.

    The effective decay in update n, from 0, is min(decay, (1 + n) / (10 + n)), so that random initial weights are
    forgotten quickly. `student` is the averaged copy.
    """

    def __init__(self, student: Model, decay: float):
        self.decay, self.updates = decay, 0
        self.student = copy.deepcopy(student).requires_grad_(False)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Add the student's current weights to the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averages, values = list(self.student.parameters()), [p.detach() for p in student.parameters()]
        for average, value in zip(averages, values, strict=True):
            average.lerp_(value, 1 - decay)
        for mine, theirs in zip(self.student.buffers(), student.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict:
        return {"updates": self.updates, "weights": self.student.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        self.student.load_state_dict(state["weights"])
