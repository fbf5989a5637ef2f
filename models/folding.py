"""Prepares image encoders for latency measurements as students are deployed: batch norm folded, channels last."""

import itertools

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from embedonce.models.deploy import deployed


def treated(tower: nn.Module) -> nn.Module:
    """Prepare an encoder in eval mode, in place; its outputs stay the same up to rounding."""
    deployed(tower)
    for parent in tower.modules():
        _fold_neighbors(parent)
    return tower.to(memory_format=torch.channels_last)


def unfolded(tower: nn.Module) -> int:
    """The number of batch norms that could not be folded into a convolution."""
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in tower.modules())


def treatment(tower: nn.Module) -> str:
    """How an encoder was prepared, as text for the results."""
    left, weights = unfolded(tower), [m.weight for m in tower.modules() if isinstance(m, nn.Conv2d)]
    is_last = all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    folded = "batch normalization folded" + (f" but for {left}" if left else "")
    return f"{folded}, {'channels-last' if is_last else 'contiguous'}"


def _fold_neighbors(parent: nn.Module) -> None:
    """Fold each batch norm registered right after its convolution, as `conv1`, `bn1` or in an nn.Sequential.

    These are the residual networks of open_clip and torchvision.
    """
    children = list(parent.named_children())
    for (name, convolution), (next_name, norm) in itertools.pairwise(children):
        if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        if next_name == name.replace("conv", "bn") or isinstance(parent, nn.Sequential):
            setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
            setattr(parent, next_name, nn.Identity())
