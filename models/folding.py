"""Image towers made ready to be timed as a deployed student is: normalization folded, channels-last.

Knows modules; not whose they are.
"""

import itertools

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from embedonce.models.deploy import deployed


def treated(tower: nn.Module) -> nn.Module:
    """A tower in eval mode with what a deployed student has; computes the same; in place."""
    deployed(tower)
    for parent in tower.modules():
        _fold_neighbors(parent)
    return tower.to(memory_format=torch.channels_last)


def unfolded(tower: nn.Module) -> int:
    """Batch normalisations that treated() found no convolution for."""
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in tower.modules())


def treatment(tower: nn.Module) -> str:
    """What was done to a tower, in words."""
    left, weights = unfolded(tower), (m.weight for m in tower.modules() if isinstance(m, nn.Conv2d))
    is_last = all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    folded = "batch normalization folded" + (f" but for {left}" if left else "")
    return f"{folded}, {'channels-last' if is_last else 'contiguous'}"


def _fold_neighbors(parent: nn.Module) -> None:
    """A convolution and the normalization registered right after it, of the same name but for the number, or numbers
    alone: open_clip's and torchvision's residual networks."""
    children = list(parent.named_children())
    for (name, convolution), (after, norm) in itertools.pairwise(children):
        is_pair = type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d
        if is_pair and (after == name.replace("conv", "bn") or isinstance(parent, nn.Sequential)):
            setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
            setattr(parent, after, nn.Identity())
