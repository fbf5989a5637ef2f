"""Fitting the teacher's action head to embeddings that are in the cache already: seconds, no image.

Arrays in, a head out; knows no cache and no clips.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from embedonce.models.heads import TEACHER_HEAD_HIDDEN, ActionHead

EPOCHS = 60
PATIENCE = 15  # epochs without a better held-out accuracy
BATCH_SIZE = 256


def fit_action_head(embeddings, labels, held_out, held_out_labels, num_classes: int, seed: int) -> ActionHead:
    """The mission's teacher head, fitted to rows.

    embeddings (N, D), held_out (M, D) float32 arrays; labels (N,), held_out_labels (M,) int64 arrays; M may be 0.
    held_out chooses the epoch, the best of up to 60: the head's accuracy on it is no measure of the head.
    Inputs are standardised while fitting and the scaling is folded into the first layer, so that the head takes
    raw embeddings. Deterministic by seed on the CPU. Returns it in eval mode.
    """
    rows, targets = torch.as_tensor(embeddings), torch.as_tensor(labels)
    mean, scale = rows.mean(0), rows.std(0, correction=0).clamp(min=1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = ActionHead(rows.shape[1], TEACHER_HEAD_HIDDEN, num_classes, dropout=0.3)
        held = ((torch.as_tensor(held_out) - mean) / scale, torch.as_tensor(held_out_labels))
        _fit(head, (rows - mean) / scale, targets, held)
    _fold(head[0], mean, scale)
    return head.eval()


def _fit(head: ActionHead, rows: Tensor, targets: Tensor, held: tuple[Tensor, Tensor]) -> None:
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.05)
    best, best_state, since = -1.0, None, 0
    for _ in range(EPOCHS):
        head.train()
        for batch in torch.randperm(len(rows)).split(BATCH_SIZE):
            loss = nn.functional.cross_entropy(head(rows[batch]), targets[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if not len(held[1]):
            continue
        accuracy = _accuracy(head.eval(), *held)
        since = 0 if accuracy > best else since + 1
        if accuracy > best:
            best, best_state = accuracy, copy.deepcopy(head.state_dict())
        if since >= PATIENCE:
            break
    if best_state is not None:
        head.load_state_dict(best_state)


@torch.inference_mode()
def _accuracy(head: ActionHead, rows: Tensor, targets: Tensor) -> float:
    return (head(rows).argmax(1) == targets).float().mean().item()


@torch.no_grad()
def _fold(layer: nn.Linear, mean: Tensor, scale: Tensor) -> None:
    """Make layer(x) what layer((x - mean) / scale) was."""
    layer.weight.div_(scale)
    layer.bias.sub_(layer.weight @ mean)


def as_arrays(head: ActionHead) -> list[np.ndarray]:
    """Weight, bias, weight, bias, … of the head's linear layers, in order."""
    return [tensor.numpy() for tensor in head.state_dict().values()]
