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


def autocast(device: torch.device, kind: str | None = None):
    """A context in which matrix work runs in this precision, by default the device's fast one; float32: no change."""
    kind = kind or precision(device)
    if kind == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, getattr(torch, kind))


@contextlib.contextmanager
def exact_float32():
    """float32 is float32: CUDA's TensorFloat-32, with its 10 bits, is off in matrix products and convolutions."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    try:
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.allow_tf32 = was


_DEVICES = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}
