"""Chooses the device and precision of computations."""

import contextlib
from collections.abc import Callable

import torch
from torch import nn

from embedonce.models.errors import ModelOptionError


def choose_device(name: str) -> torch.device:
    """A device by name, such as `cuda:1`, or the first available of CUDA, MPS and CPU for `auto`.

    Raises ModelOptionError if the device is not available.
    """
    return torch.device(named_devices(name)[0])


def named_devices(text: str) -> list[str]:
    """The devices that `auto`, `cpu`, `mps`, `cuda` (all visible GPUs), `cuda:1` or `cuda:0,2` stands for.

    The only GPU is just `cuda` unless it is named by its number. Raises ModelOptionError if one is not available.
    """
    available = [device for device, is_available in _DEVICES.items() if is_available()]
    kind, _, numbers = (available[0] if text == "auto" else text).partition(":")
    count = torch.cuda.device_count() if "cuda" in available else 0
    gpus = [f"cuda:{number}" for number in range(count)]
    named = [f"cuda:{int(number)}" for number in numbers.split(",")] if numbers else [kind]
    missing = [name for name in named if name not in (*available, *gpus)]
    if missing:
        shown = ", ".join([*(gpus if numbers else ()), *available[bool(numbers and gpus) :]])
        raise ModelOptionError(f"--device {missing[0]} is not available on this machine; it has {shown}")
    return gpus if named == ["cuda"] and count > 1 else named


def precision(device: torch.device) -> str:
    """The name of the autocast dtype for this device: bfloat16, float16 or float32."""
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def autocast(device: torch.device, dtype: str | None = None):
    """An autocast context with this dtype, by default precision(device); float32 changes nothing."""
    dtype = dtype or precision(device)
    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, getattr(torch, dtype))


def uncompiled():
    """A context in which compiled modules run eagerly."""
    return torch.compiler.set_stance("force_eager")


def fast_layout(module: nn.Module) -> torch.memory_format:
    """The memory format for a convolutional network and its images: channels last, about 1.2 times as fast on CPUs.

    Contiguous if the network has strided 1x1 convolutions, as the stems of RepVGG, MobileOne and FastViT do: for these,
    oneDNN's channels-last kernel writes past the end of its buffers (torch 2.15), which crashes the process or corrupts
    memory.
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
    """A context with CUDA's TensorFloat-32 (10-bit mantissa) disabled in matrix products and convolutions."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    try:
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.allow_tf32 = was


_DEVICES: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}
