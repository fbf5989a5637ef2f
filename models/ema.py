"""An exponential moving average of a student's weights. Pure torch; knows no training loop."""

import copy

import torch
from torch import nn


class ModelEma:
    """Keeps decay · average + (1 - decay) · weights, over parameters; buffers, such as running statistics, are copied.

    The decay grows from 0 as (1 + n) / (10 + n) over n updates up to its value, so that the random start is forgotten.
    """

    def __init__(self, student: nn.Module, decay: float):
        self.decay, self.updates = decay, 0
        self.student = copy.deepcopy(student).requires_grad_(False)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
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
