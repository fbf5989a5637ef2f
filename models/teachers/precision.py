"""Which precision a teacher embeds in: the fast one where its embeddings hardly change, by measurement; else float32.

Knows a function of images, not what it is made of.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from embedonce.models.device import autocast

log = logging.getLogger(__name__)

# Storing unit vectors in float16 moves them by 2e-4. On CPUs, float16 autocast moved those of three towers by 4e-4 to
# 2e-3, bfloat16 by 3e-3 to 2e-2, which is a whole logit at CLIP's scale of 100.
MAX_DRIFT = 3e-3
_GRIDS = (1, 2, 3, 5, 8, 16, 32, 64)  # test images: noise of so many cells a side, from flat to fine


def fast_precision(device: torch.device) -> str:
    """The precision worth trying: float16 on CUDA, whose rounding is eight times finer than bfloat16's."""
    return "float16" if device.type == "cuda" else "float32"


def chosen_precision(encode: Callable[[Tensor], Tensor], device: torch.device, size: int) -> str:
    """The device's fast precision, or float32 where drift() is more than MAX_DRIFT or no number.

    encode: (B, 3, S, S) normalized images -> (B, D).
    """
    fast = fast_precision(device)
    if fast == "float32":
        return fast
    found = drift(encode, device, size, fast)
    if found <= MAX_DRIFT:
        return fast
    log.info("the teacher computes in float32: %s would move its embeddings by %.1e of their length", fast, found)
    return "float32"


@torch.inference_mode()
def drift(encode: Callable[[Tensor], Tensor], device: torch.device, size: int, kind: str) -> float:
    """How far a precision moves unit vectors at most, over fixed test images; NaN where it overflows."""
    generator = torch.Generator().manual_seed(0)
    coarse = (torch.rand(1, 3, cells, cells, generator=generator) * 4 - 2 for cells in _GRIDS)
    images = torch.cat([functional.interpolate(grid, (size, size), mode="bilinear") for grid in coarse]).to(device)
    exact = functional.normalize(encode(images).double(), dim=-1)
    with autocast(device, kind):
        fast = encode(images)
    return float((functional.normalize(fast.double(), dim=-1) - exact).norm(dim=-1).max())
