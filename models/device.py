"""Where tensors are computed, and in which precision. Knows no model."""

import contextlib

import torch

from models.errors import ModelOptionError


def choose_device(name: str) -> torch.device:
    """`auto` (CUDA, then MPS, then CPU) or a device by name. ModelOptionError where it is not there."""
    available = [kind for kind, there in _DEVICES.items() if there()]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise ModelOptionError(f"--device {name} is not available on this machine; it has {', '.join(available)}")
    return torch.device(name)


def precision(device: torch.device) -> str:
    """What autocast computes in on this device: bfloat16, float16 or float32."""
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def autocast(device: torch.device):
    """A context in which matrix work runs in the device's fast precision; nothing changes on CPU and MPS."""
    kind = precision(device)
    if kind == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, getattr(torch, kind))


_DEVICES = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}
