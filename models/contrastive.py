"""CLIP's symmetric contrastive loss for batches in which a text may match several images."""

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(images: Tensor, texts: Tensor, matches: Tensor, scale: Tensor | float) -> Tensor:
    """Mean of the image-to-text and text-to-image cross-entropies, a scalar.

    Args:
        images: (B, D) float embeddings, of any length.
        texts: (C, D) float embeddings, of any length.
        matches: (B, C) bool, whether a text describes an image.
        scale: factor of the cosines.

    CLIP's targets are one-hot: all other texts of a batch count as wrong. With a dozen actions, texts repeat in every
    batch, so the target of an image is spread evenly over all its matching texts, and that of a text over all its
    images. With one match per row and column this is CLIP's loss. Raises ValueError if an image or text has no match.
    """
    if not (matches.any(0).all() and matches.any(1).all()):
        raise ValueError("every image of a batch needs a matching text, and every text a matching image")
    return unchecked_contrastive_loss(images, texts, matches, scale)


def unchecked_contrastive_loss(images: Tensor, texts: Tensor, matches: Tensor, scale: Tensor | float) -> Tensor:
    """contrastive_loss() of matches that are known to be complete: it does not wait for an accelerator. NaN if not."""
    logits = scale * functional.normalize(images.float(), dim=-1) @ functional.normalize(texts.float(), dim=-1).T
    targets = matches.to(logits.dtype)
    image_loss = functional.cross_entropy(logits, targets / targets.sum(1, keepdim=True))
    text_loss = functional.cross_entropy(logits.T, (targets / targets.sum(0)).T)
    return torch.add(image_loss, text_loss) / 2
