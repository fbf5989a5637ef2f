"""Fits the teacher's action head to cached embeddings, given as arrays; takes seconds and no images."""

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn

from embedonce.models.heads import TEACHER_HEAD_HIDDEN, ActionHead

EPOCHS = 60
PATIENCE = 15  # epochs without an improvement on the validation rows
BATCH_SIZE = 256


def fit_action_head(
    embeddings: np.ndarray,
    labels: np.ndarray,
    validation: np.ndarray,
    validation_labels: np.ndarray,
    num_classes: int,
    seed: int,
) -> ActionHead:
    """Fit an MLP classifier to embeddings; returns it in eval mode.

    Args:
        embeddings: (N, D) float32.
        labels: (N,) int64, or (N, C) bool for rows with any number of classes: then one binary classifier per class.
        validation: (M, D) float32, to choose the best of up to 60 epochs: by accuracy, or by loss for binary
            classifiers; M may be 0. As it chooses, the accuracy on it is not an estimate of the head's accuracy.
        validation_labels: (M,) int64, or (M, C) bool.

    Inputs are standardized while fitting, and the scaling is folded into the first layer: the head takes raw
    embeddings. Deterministic by seed on the CPU.
    """
    rows, targets = torch.as_tensor(embeddings), torch.as_tensor(labels)
    mean, scale = rows.mean(0), rows.std(0, correction=0).clamp(min=1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = ActionHead(rows.shape[1], TEACHER_HEAD_HIDDEN, num_classes, dropout=0.3)
        val_rows, val_targets = (torch.as_tensor(validation) - mean) / scale, torch.as_tensor(validation_labels)
        _fit(head, (rows - mean) / scale, targets, (val_rows, val_targets))
    first = head[0]
    assert isinstance(first, nn.Linear)
    _fold(first, mean, scale)
    return head.eval()


def _fit(head: ActionHead, rows: Tensor, targets: Tensor, validation: tuple[Tensor, Tensor]) -> None:
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.05)
    best, best_state, num_worse = -math.inf, None, 0
    for _ in range(EPOCHS):
        head.train()
        for batch in torch.randperm(len(rows)).split(BATCH_SIZE):
            loss = _loss(head(rows[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if not len(validation[1]):
            continue
        score = _score(head.eval(), *validation)
        num_worse = 0 if score > best else num_worse + 1
        if score > best:
            best, best_state = score, copy.deepcopy(head.state_dict())
        if num_worse >= PATIENCE:
            break
    if best_state is not None:
        head.load_state_dict(best_state)


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    if targets.ndim == 2:
        return nn.functional.binary_cross_entropy_with_logits(logits, targets.float())
    return nn.functional.cross_entropy(logits, targets, label_smoothing=0.05)


@torch.inference_mode()
def _score(head: ActionHead, rows: Tensor, targets: Tensor) -> float:
    """Accuracy, or the negative loss of binary classifiers: of both, larger is better."""
    if targets.ndim == 2:
        return -_loss(head(rows), targets).item()
    return (head(rows).argmax(1) == targets).float().mean().item()


@torch.no_grad()
def _fold(layer: nn.Linear, mean: Tensor, scale: Tensor) -> None:
    """Fold the standardization into the layer: layer(x) becomes what layer((x - mean) / scale) was."""
    layer.weight.div_(scale)
    layer.bias.sub_(layer.weight @ mean)


def as_arrays(head: ActionHead) -> list[np.ndarray]:
    """The weights and biases of the head's linear layers, alternating, in order."""
    return [tensor.numpy() for tensor in head.state_dict().values()]
