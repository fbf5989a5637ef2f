"""Chooses the precision of a teacher: half precision if that hardly changes its embeddings, measured, else float32."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from embedonce.models.device import autocast

log = logging.getLogger(__name__)

# Distances of unit vectors. Storing them in float16 costs 2e-4. On CPUs, float16 autocast cost 4e-4 to 2e-3 for three
# image towers and bfloat16 3e-3 to 2e-2, which is a whole logit at CLIP's scale of 100.
MAX_DRIFT = 3e-3
_GRIDS = (1, 2, 3, 5, 8, 16, 32, 64)  # cells per side of the test images, from flat to fine noise


def fast_precision(device: torch.device) -> str:
    """The precision to try: float16 on CUDA, which rounds eight times finer than bfloat16; elsewhere float32."""
    return "float16" if device.type == "cuda" else "float32"


def chosen_precision(encode: Callable[[Tensor], Tensor], device: torch.device, size: int) -> str:
    """The device's fast precision, or float32 if drift() exceeds MAX_DRIFT or is NaN.

    encode: (B, 3, S, S) normalized images -> (B, D) embeddings.
    """
    fast = fast_precision(device)
    if fast == "float32":
        return fast
    distance = drift(encode, device, size, fast)
    if distance <= MAX_DRIFT:
        return fast
    log.info("the teacher computes in float32: %s would change its embeddings by %.1e of their length", fast, distance)
    return "float32"


@torch.inference_mode()
def drift(encode: Callable[[Tensor], Tensor], device: torch.device, size: int, dtype: str) -> float:
    """Maximum distance of unit-length embeddings from those in float32, over fixed test images; NaN on overflow."""
    images = make_test_images(size).to(device)
    exact = functional.normalize(encode(images).double(), dim=-1)
    with autocast(device, dtype):
        fast = encode(images)
    return float((functional.normalize(fast.double(), dim=-1) - exact).norm(dim=-1).max())


def make_test_images(size: int) -> Tensor:
    """(B, 3, S, S) float32, from flat to fine noise, in the range of normalized images."""
    generator = torch.Generator().manual_seed(0)
    coarse = (torch.rand(1, 3, cells, cells, generator=generator) * 4 - 2 for cells in _GRIDS)
    return torch.cat([functional.interpolate(grid, (size, size), mode="bilinear") for grid in coarse])
