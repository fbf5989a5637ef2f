"""The tensors of a module: their hash, their number and their size."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of the names, dtypes, shapes and values of a module's tensors, whatever file they came from."""
    return tensors_sha256(module.state_dict())


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names, dtypes, shapes and values of tensors, on any device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def num_parameters(module: nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def num_bytes(module: nn.Module) -> int:
    """The bytes of a module's parameters."""
    return sum(p.numel() * p.element_size() for p in module.parameters())
