"""Where tensors are computed, and in which precision. Knows no model."""

import contextlib

import torch
from torch import nn

from embedonce.models.errors import ModelOptionError


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


def uncompiled():
    """A context in which compiled modules run as they were written."""
    return torch.compiler.set_stance("force_eager")


def fast_layout(module: nn.Module) -> torch.memory_format:
    """The memory format for a convolutional network and its images: channels last is about 1.2 times as fast on CPUs.

    Not where 1x1 convolutions have strides, as in the stems of RepVGG, MobileOne and FastViT: in channels last,
    oneDNN's kernel for them writes beyond the end of its buffers (torch 2.15), which ends the process or spoils
    whatever lies there.
    """
    is_unsafe = any(
        isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        and set(layer.kernel_size) == {1}
        and set(layer.stride) != {1}
        for layer in module.modules()
    )
    return torch.contiguous_format if is_unsafe else torch.channels_last


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
