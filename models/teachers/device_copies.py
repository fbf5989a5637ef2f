"""Copies between the CPU and a device that a GPU makes by itself, beside what else it and the CPU do."""

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def on_device(device: torch.device):
    """A context in which this GPU is the current one; nothing for other devices."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of a tensor of the CPU. A GPU makes it in its turn, from pinned memory; the CPU does not wait for it."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def from_device(tensors: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
    """Start to copy tensors of one device to the CPU; the function waits for the copies and returns them."""
    device = tensors[0].device
    if device.type != "cuda":
        copies = [tensor.cpu() for tensor in tensors]
        return lambda: copies
    copies = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(device))

    def wait() -> list[Tensor]:
        done.synchronize()
        return copies

    return wait
