"""CLIP's symmetric contrastive loss where one caption may be true of several frames of a batch.

Pure torch on tensors; knows no model and no data.
"""

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(images: Tensor, texts: Tensor, truth: Tensor, scale: Tensor | float) -> Tensor:
    """Scalar: the mean of both directions' cross-entropies.

    images (B, D), texts (C, D) float, of any length; truth (B, C) bool, each row and column with at least one True.
    CLIP's targets are one-hot, as if all other captions of a batch were false. Twelve actions repeat in every batch,
    so here the target of a frame is spread evenly over all captions that are true of it, and that of a caption over
    all its frames; with one True a row this is CLIP's own loss. ValueError where a row or column is all False.
    """
    if not (truth.any(0).all() and truth.any(1).all()):
        raise ValueError("each frame needs a true caption in its batch, and each caption a frame")
    logits = scale * functional.normalize(images.float(), dim=-1) @ functional.normalize(texts.float(), dim=-1).T
    targets = truth.to(logits.dtype)
    by_frame = functional.cross_entropy(logits, targets / targets.sum(1, keepdim=True))
    by_caption = functional.cross_entropy(logits.T, (targets / targets.sum(0)).T)
    return torch.add(by_frame, by_caption) / 2
