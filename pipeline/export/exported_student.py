"""An exported student as a module: the same inputs and outputs as the trained one, so that both are run alike."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from embedonce.pipeline.export.format import RunnableStudent


@dataclass(frozen=True)
class ExportedOutput:
    """clip_embedding (B, D), clip_logits (B, C); C is 0 without classes."""

    clip_embedding: Tensor
    clip_logits: Tensor


class ExportedStudent(nn.Module):
    """Runs exported files on frames (B, T, 3, R, R) uint8, t_rel_sec (B, T) and mask (B, T)."""

    def __init__(self, runnable: RunnableStudent):
        super().__init__()
        self._runnable = runnable

    def forward(self, frames: Tensor, t_rel_sec: Tensor, mask: Tensor) -> ExportedOutput:
        features, _ = self._runnable.encode_frames(frames.flatten(0, 1).numpy())
        outputs = self._runnable.head(features.reshape(*mask.shape, -1), t_rel_sec.numpy(), mask.numpy())
        no_logits = np.zeros((len(mask), 0), np.float32)
        embedding, logits = (torch.from_numpy(array) for array in (*outputs, no_logits)[:2])
        return ExportedOutput(embedding, logits)
